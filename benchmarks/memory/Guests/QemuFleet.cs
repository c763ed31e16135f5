using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>Guests on qemu-system-x86_64 with TCG, their memory open to KSM, without swap.</summary>
internal sealed class QemuFleet : Fleet
{
    private readonly Process[] _processes;
    private readonly StringBuilder[] _output;
    private readonly int[] _positions;

    public QemuFleet(GuestsOptions options, GuestContent content, string kernel, string initrd)
    {
        _processes = [.. Enumerable.Range(0, options.Guests).Select(guest => Process.Start(new ProcessStartInfo("qemu-system-x86_64",
        [
            "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "mem-merge=on", "-m", options.MemoryMB.ToString(CultureInfo.InvariantCulture),
            "-nographic", "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet",
            "-drive", $"file={content.Disks[guest]},format=raw,if=virtio,readonly=on", "-drive", $"file={content.Script},format=raw,if=virtio,readonly=on",
            "-device", "virtio-balloon-pci",
        ])
        { RedirectStandardInput = true, RedirectStandardOutput = true })!)];
        _output = [.. _processes.Select(static _ => new StringBuilder())];
        _positions = new int[_processes.Length];
        for (int i = 0; i < _processes.Length; i++)
        {
            StringBuilder output = _output[i];
            var reader = _processes[i].StandardOutput;
            _ = Task.Run(async () =>
            {
                char[] buffer = new char[4096];
                for (int count; (count = await reader.ReadAsync(buffer)) > 0;)
                {
                    lock (output)
                    {
                        output.Append(buffer, 0, count);
                    }
                }
            });
        }
    }

    public override string Name => "QEMU TCG, KSM";

    public override IReadOnlyList<string> Output => [.. _output.Select(static output =>
    {
        lock (output)
        {
            return output.ToString();
        }
    })];

    public override Task Expect(string text) => Task.WhenAll(Enumerable.Range(0, _processes.Length).Select(async i =>
    {
        long start = Stopwatch.GetTimestamp();
        while (!Output[i][_positions[i]..].Contains(text, StringComparison.Ordinal))
        {
            if (HasPanicked(Output[i]) || _processes[i].HasExited || Stopwatch.GetElapsedTime(start) > Patience)
            {
                throw new InvalidOperationException($"QEMU's guest {i} did not print '{text}':\n{Output[i]}");
            }

            await Task.Delay(50);
        }
    }));

    public override async Task Type(string line)
    {
        for (int i = 0; i < _processes.Length; i++)
        {
            _positions[i] = Output[i].Length;
            await _processes[i].StandardInput.WriteAsync(line + "\n");
            await _processes[i].StandardInput.FlushAsync();
        }
    }

    // Merged pages are resident in each process that has them.
    public override double HostMB() => _processes.Sum(static process => Resident.OfProcessMB(process.Id)) - Ksm.SavedMB;

    public override IReadOnlyList<(string Technique, double MB)> Reclaimed() => [("sharing", Ksm.SavedMB)];

    public override void Dispose()
    {
        foreach (Process process in _processes)
        {
            process.Kill();
            process.WaitForExit();
            process.Dispose();
        }
    }
}
