using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Linux;

/// <summary>A stock kernel on four processors that all work at once, checked against results that the test computes itself.</summary>
public class MultiprocessorTests
{
    private const int Processors = 4, Rounds = 2000, Bytes = 400_000, DiskBytes = 4096;

    // Each processor on its own: arithmetic in the shell, then a pipeline whose processes hand each other pages and the processor.
    private static readonly string Script = string.Create(CultureInfo.InvariantCulture, $$"""
        work() {
            i=0 s=$1
            while [ $i -lt {{Rounds}} ]; do s=$(( (s * 31 + i) & 65535 )); i=$((i + 1)); done
            sum=$(yes "processor $1 of {{Processors}}" | head -c {{Bytes}} | gzip -1 | gunzip | sha256sum)
            echo "$1 $s ${sum%% *}" > /tmp/result$1
        }
        for p in 0 1 2 3; do (taskset -p $((1 << p)) $(sh -c 'echo $PPID') >/dev/null; work $p) & done
        wait
        cat /tmp/result*
        """);

    [LinuxFact]
    public async Task Four_processors_work_at_once_and_every_result_is_right()
    {
        // A disk whose content is the script: nothing has to be typed line by line.
        string disk = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(disk, Script.PadRight(DiskBytes, '\n'));
            using var guest = LinuxGuest.Start(configuration => configuration with { NumCpu = Processors, Disks = [new() { Path = disk }] });
            await guest.Booted();
            await guest.Ask("nproc", Processors.ToString(CultureInfo.InvariantCulture));
            await guest.Ask("sh /dev/vda", string.Join("\r\n", Enumerable.Range(0, Processors).Select(Result)));
            Assert.DoesNotContain("Call Trace", guest.Output, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(disk);
        }
    }

    private static string Result(int processor)
    {
        int sum = processor;
        for (int i = 0; i < Rounds; i++)
        {
            sum = ((sum * 31) + i) & 0xFFFF;
        }

        byte[] line = Encoding.ASCII.GetBytes($"processor {processor} of {Processors}\n");
        byte[] data = [.. Enumerable.Range(0, Bytes).Select(i => line[i % line.Length])];
        return $"{processor} {sum} {Convert.ToHexStringLower(SHA256.HashData(data))}";
    }
}
