using System.ComponentModel;
using Hypervisor.Engine.Partitions;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>
/// A test of a body shared by all backends: each subclass names its backend with <see cref="BackendAttribute"/>, and where the host
/// cannot run that one the test is skipped with the backend's own reason.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Hypervisor.Tests.Unit.Support.BackendFactDiscoverer", "Hypervisor.Tests.Unit")]
public sealed class BackendFactAttribute : FactAttribute;

/// <summary>Names the factory whose partitions a test class runs on.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class BackendAttribute : Attribute
{
    public required Type Factory { get; init; }
}

/// <summary>Finds the tests of <see cref="BackendFactAttribute"/>.</summary>
public sealed class BackendFactDiscoverer(IMessageSink diagnostics) : IXunitTestCaseDiscoverer
{
    public IEnumerable<IXunitTestCase> Discover(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        [new BackendTestCase(diagnostics, discoveryOptions.MethodDisplayOrDefault(), discoveryOptions.MethodDisplayOptionsOrDefault(), testMethod)];
}

/// <summary>A test that is skipped where its class's backend is not to be had.</summary>
public sealed class BackendTestCase : XunitTestCase
{
    private static readonly Dictionary<Type, string?> Reasons = [];

    [Obsolete("Called by the deserializer.")]
    [EditorBrowsable(EditorBrowsableState.Never)]
    public BackendTestCase()
    {
    }

    public BackendTestCase(IMessageSink diagnostics, TestMethodDisplay display, TestMethodDisplayOptions options, ITestMethod method)
        : base(diagnostics, display, options, method)
    {
    }

    protected override string GetSkipReason(IAttributeInfo factAttribute)
    {
        var attribute = TestMethod.TestClass.Class.GetCustomAttributes(typeof(BackendAttribute).AssemblyQualifiedName).FirstOrDefault();
        return base.GetSkipReason(factAttribute) ?? (attribute is null ? null : ReasonFor(attribute.GetNamedArgument<Type>(nameof(BackendAttribute.Factory))))!;
    }

    private static string? ReasonFor(Type factory)
    {
        lock (Reasons)
        {
            if (!Reasons.TryGetValue(factory, out string? reason))
            {
                var probe = ((IPartitionFactory)Activator.CreateInstance(factory)!).Probe();
                Reasons[factory] = reason = probe.Available ? null : probe.Reason;
            }

            return reason;
        }
    }
}
