using System.Text;
using Hypervisor.Engine.Boot;

namespace Hypervisor.Tests.Unit.Boot;

public class CpioArchiveTests
{
    [Fact]
    public void An_archive_lists_its_entries_with_type_mode_and_content()
    {
        var archive = new CpioArchive();
        archive.AddDirectory("bin");
        archive.AddText("init", "#!/bin/sh\n", Convert.ToUInt32("755", 8));
        archive.AddSymbolicLink("bin/sh", "busybox");
        archive.AddCharacterDevice("console", 5, 1);

        var entries = Parse(archive.ToArray());

        Assert.Equal(["bin", "init", "bin/sh", "console", "TRAILER!!!"], entries.Select(e => e.Name));
        Assert.Equal(["40755", "100755", "120777", "20600", "0"], entries.Select(e => Convert.ToString(e.Mode, 8)));
        Assert.Equal("#!/bin/sh\n", Encoding.UTF8.GetString(entries[1].Content));
        Assert.Equal("busybox", Encoding.UTF8.GetString(entries[2].Content));
    }

    [Fact]
    public void The_same_entries_give_the_same_bytes()
    {
        static byte[] Make()
        {
            var archive = new CpioArchive();
            archive.AddText("a", "b");
            return archive.ToArray();
        }

        Assert.Equal(Make(), Make());
    }

    [Fact]
    public void A_path_with_a_leading_slash_is_refused() =>
        Assert.Throws<ArgumentException>(() => new CpioArchive().AddDirectory("/bin"));

    private static List<(string Name, uint Mode, byte[] Content)> Parse(byte[] archive)
    {
        var entries = new List<(string, uint, byte[])>();
        int at = 0;
        while (at < archive.Length && archive[at] != 0)
        {
            Assert.Equal("070701", Encoding.ASCII.GetString(archive, at, 6));
            uint Field(int n) => Convert.ToUInt32(Encoding.ASCII.GetString(archive, at + 6 + (n * 8), 8), 16);
            int nameLength = (int)Field(11), contentLength = (int)Field(6);
            int name = at + 110;
            int content = (name + nameLength + 3) & ~3;
            entries.Add((Encoding.UTF8.GetString(archive, name, nameLength - 1), Field(1), archive[content..(content + contentLength)]));
            at = (content + contentLength + 3) & ~3;
        }

        return entries;
    }
}
