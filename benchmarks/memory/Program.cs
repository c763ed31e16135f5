using Hypervisor.Benchmarks.Memory;
using Hypervisor.Benchmarks.Memory.Guests;

// Reclaiming memory: what each part costs. See docs/performance.md.
switch (args)
{
    case ["stores", .. var rest]:
        return StoresBenchmark.Run(rest);
    case ["guests", .. var rest]:
        return GuestsOptions.Parse(rest) is { } options ? await GuestsBenchmark.Run(options) : 2;
    case ["touch", .. var rest]:
        return TouchBenchmark.Run(rest);
    default:
        Console.Error.WriteLine("usage: memory stores [--folder PATH] [--pages 8192]\n       memory guests [--guests 8] [--memory 512] [--budget 1536] ...\n       memory touch [--memory 512] [--rounds 5]");
        return 2;
}
