using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Software;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions.Software;

/// <summary>The contract on the software processor with all code translated when it is met.</summary>
[Backend(Factory = typeof(SoftwarePartitionFactory))]
public sealed class TranslatingPartitionTests() : PartitionContractTests(new Factory())
{
    private sealed class Factory : IPartitionFactory
    {
        private readonly SoftwarePartitionFactory _factory = new();

        public BackendKind Backend => _factory.Backend;

        public BackendProbe Probe() => _factory.Probe();

        public IPartition Create(PartitionOptions options) => _factory.Create(options with { TranslationThreshold = 1 });
    }
}
