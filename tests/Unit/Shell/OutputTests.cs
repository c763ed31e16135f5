using Hypervisor.Shell;
using Hypervisor.Shell.Output;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class OutputTests
{
    [Fact]
    public void A_pipe_that_nobody_reads_stops_what_runs_once()
    {
        int stops = 0;
        using var output = new PipeOutput(new FailingStream(PipeOutput.BrokenPipe), () => stops++);
        output.Write([1, 2], 0, 2);
        output.Write([3], 0, 1);
        Assert.Equal(1, stops);
    }

    [Fact]
    public void Another_error_of_the_output_is_told()
    {
        const int NoSpace = 28;
        using var output = new PipeOutput(new FailingStream(NoSpace), static () => { });
        Assert.Throws<IOException>(() => output.Write([1], 0, 1));
    }

    [Fact]
    public void Lines_of_text_are_written_as_they_come()
    {
        using var host = new TemporaryHost();
        ShellSession? session = null;
        using var output = new StoppingWriter(() => session!.Stop());
        session = new ShellSession(new RecordingScreen(), OutputFormat.Default, output);

        // It ends because the first line stops it, long before the days that it was asked to take.
        session.RunLine($"Get-EsxTop -Batch -Delay 0.1 -Iterations 10000000 -HostPath '{host.Folder}'");
        Assert.StartsWith("\"(PDH-CSV 4.0)", output.ToString(), StringComparison.Ordinal);
        Assert.True(session.IsStopped);
    }

    private sealed class FailingStream(int error) : MemoryStream
    {
        public override void Write(byte[] buffer, int offset, int count) => throw new IOException("the test says so", error);
    }

    private sealed class StoppingWriter(Action stop) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            stop();
        }
    }
}
