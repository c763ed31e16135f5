namespace Hypervisor.Engine.Memory.Policy;

// How fast pages are looked at for sharing.
internal sealed partial class MemoryPolicy
{
    private const int SecondsPerMinute = 60, MHzPerGHz = 1000;
    private const double PagesPerMB = (1 << 20) / PageSize;

    private void ScanForSharing(in HostMemoryInput host, ReadOnlySpan<MachineMemoryInput> machines, Span<MachineMemoryDecision> decisions)
    {
        MemoryPolicySettings settings = host.Settings;
        if (settings.ShareScanMinutes <= 0 || settings.ShareScanMBPerGHz <= 0)
        {
            return;
        }

        double seconds = settings.ShareScanMinutes * (double)SecondsPerMinute / (_state == HostMemoryState.High ? 1 : _options.ShareScanSpeedup), wanted = 0;
        foreach (ref readonly MachineMemoryInput machine in machines)
        {
            wanted += Scannable(in machine) / seconds;
        }

        double most = settings.ShareScanMBPerGHz * PagesPerMB * host.ProcessorMHz / MHzPerGHz, part = wanted > most ? most / wanted : 1;
        for (int i = 0; i < machines.Length; i++)
        {
            double pages = Scannable(in machines[i]);
            if (pages > 0)
            {
                decisions[i] = decisions[i] with { ShareScanPagesPerSecond = (int)Math.Clamp(Math.Ceiling(pages / seconds * part), 1, int.MaxValue) };
            }
        }
    }

    private static double Scannable(in MachineMemoryInput machine) =>
        machine.Plan.IsSharingEnabled ? Math.Clamp(machine.ConsumedBytes, 0, machine.Plan.MemoryBytes) / (double)PageSize : 0;
}
