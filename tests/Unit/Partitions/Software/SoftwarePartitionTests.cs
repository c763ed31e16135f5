using Hypervisor.Engine.Partitions.Software;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions.Software;

/// <summary>The contract on the software processor.</summary>
[Backend(Factory = typeof(SoftwarePartitionFactory))]
public sealed class SoftwarePartitionTests() : PartitionContractTests(new SoftwarePartitionFactory());
