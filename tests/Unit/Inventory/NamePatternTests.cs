using Hypervisor.Engine.Inventory;

namespace Hypervisor.Tests.Unit.Inventory;

public sealed class NamePatternTests
{
    [Theory]
    [InlineData("web", "WEB", true)]
    [InlineData("web", "web1", false)]
    [InlineData("web*", "web", true)]
    [InlineData("*", "", true)]
    [InlineData("*b*", "web1", true)]
    [InlineData("w?b", "web", true)]
    [InlineData("w?b", "wb", false)]
    [InlineData("web[0-3]", "web2", true)]
    [InlineData("web[0-3]", "web4", false)]
    [InlineData("web[ab]x", "webBx", true)]
    [InlineData("a[1]", "a[1]", true)]
    [InlineData("a[1]", "a1", true)]
    [InlineData("a`*", "a*", true)]
    [InlineData("a`*b*", "axb", false)]
    [InlineData("a[", "a[", true)]
    [InlineData("*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false)]
    public void Patterns_match_as_in_PowerShell(string pattern, string name, bool matches) =>
        Assert.Equal(matches, new NamePattern(pattern).IsMatch(name));

    [Theory]
    [InlineData("2222:22", "tcp:127.0.0.1:2222:22")]
    [InlineData("udp:53:5353", "udp:127.0.0.1:53:5353")]
    [InlineData("TCP:0.0.0.0:0:80", "tcp:0.0.0.0:0:80")]
    [InlineData("tcp:[::1]:8080:80", "tcp:[::1]:8080:80")]
    public void A_port_forward_is_read_and_written(string text, string canonical) =>
        Assert.Equal(canonical, PortForwardSyntax.Format(PortForwardSyntax.Parse(text)));

    [Theory]
    [InlineData("22")]
    [InlineData("")]
    [InlineData("a:b")]
    [InlineData("2222:0")]
    [InlineData("65536:22")]
    [InlineData("-1:22")]
    [InlineData("icmp:1:1")]
    [InlineData("nohost:1:1")]
    public void A_malformed_port_forward_is_refused(string text) =>
        Assert.Throws<InvalidConfigurationException>(() => PortForwardSyntax.Parse(text));
}
