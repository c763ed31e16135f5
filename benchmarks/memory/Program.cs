using Hypervisor.Benchmarks.Memory;
using Hypervisor.Benchmarks.Memory.Guests;

// Reclaiming memory: what each part costs. See docs/performance.md.
switch (args)
{
    case ["stores", .. var rest]:
        return StoresBenchmark.Run(rest);
    case ["guests", .. var rest]:
        return GuestsOptions.Parse(rest) is { } options ? await GuestsBenchmark.Run(options) : 2;
    default:
        Console.Error.WriteLine("usage: memory stores [--folder PATH] [--pages 8192]\n       memory guests [--guests 8] [--memory 512] [--budget 1536] ...");
        return 2;
}
