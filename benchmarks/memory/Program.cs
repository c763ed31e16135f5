using Hypervisor.Benchmarks.Memory;

// Reclaiming memory: what each part costs. See docs/performance.md.
switch (args)
{
    case ["stores", .. var rest]:
        return StoresBenchmark.Run(rest);
    default:
        Console.Error.WriteLine("usage: memory stores [--folder PATH] [--pages 8192]");
        return 2;
}
