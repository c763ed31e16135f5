using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>
/// A partition on Linux KVM, with the kernel's own local APICs, I/O APIC, PIC and PIT (Documentation/virt/kvm/api.rst).
/// </summary>
public sealed partial class KvmPartition : IPartition, IEventFdPartition, IPagedPartition
{
    // Three pages for a TSS and one for identity-mapping page tables that VT-x needs to run real mode on old processors. They lie where
    // no memory or device is: between the I/O APIC's page (FEC00000h) and the firmware's largest image (16 MB below 4 GB).
    private const ulong IdentityMapAddress = 0xFEFF_C000;
    private const long TssAddress = 0xFEFF_D000;

    /// <summary>KVM counts the local APIC timer in nanoseconds (<c>APIC_BUS_CYCLE_NS</c> is 1).</summary>
    private const ulong LocalApicTimerFrequency = 1_000_000_000;

    private readonly FileDescriptor _vm;
    private readonly KvmVirtualProcessor[] _processors;
    private bool _disposed;

    internal KvmPartition(KvmDevice device, PartitionOptions options)
    {
        _vm = CreateVm(device);
        _processors = new KvmVirtualProcessor[options.ProcessorCount];
        try
        {
            SlotLimit = Math.Max(_vm.Control(KvmRequest.CheckExtension, (nint)KvmCapability.MemorySlots), 32);
            CreateInterruptControllers();
            ForwardUnknownMsrs(device);
            int extendedStateBytes = Math.Max(_vm.Control(KvmRequest.CheckExtension, (nint)KvmCapability.Xsave2), 4096);
            uint[] msrs = device.GetMsrIndices();
            KvmCpuidPolicy? cpuid = null;
            for (int i = 0; i < _processors.Length; i++)
            {
                int descriptor = KvmCalls.Check(_vm.Control(KvmRequest.CreateVcpu, i), $"make virtual processor {i}");
                var processor = new KvmVirtualProcessor(this, i, new FileDescriptor(descriptor), device.RunPageBytes, extendedStateBytes, options.Bus);
                _processors[i] = processor;
                cpuid ??= new KvmCpuidPolicy(device, options, processor.GetTscKhz());
                processor.Initialize(cpuid.ForProcessor(i), msrs);
            }

            Capabilities = new PartitionCapabilities
            {
                InKernelIrqChip = true,
                HaltsInside = true,
                TscFrequency = _processors[0].GetTscKhz() * 1000ul,
                ApicTimerFrequency = LocalApicTimerFrequency,
                KvmClock = cpuid!.OffersKvmClock,
                UsesLargePages = true,
            };
            CaptureInterruptControllers();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Kvm;

    /// <inheritdoc/>
    public PartitionCapabilities Capabilities { get; }

    /// <inheritdoc/>
    public IReadOnlyList<IVirtualProcessor> Processors => _processors;

    /// <inheritdoc/>
    public Action<byte>? EndOfInterrupt { get; set; }

    /// <summary>Accesses of the guest to model-specific registers that neither the kernel nor this backend knows, since power-on.</summary>
    public long UnknownMsrAccesses => _processors.Sum(processor => processor.UnknownMsrAccesses);

    /// <summary>The guest's paravirtual clock in nanoseconds.</summary>
    public ulong GetClock()
    {
        var data = new KvmClockData();
        KvmCalls.Check(_vm.Control(KvmRequest.GetClock, ref data), "read the guest's clock");
        return data.Clock;
    }

    /// <summary>Sets the guest's paravirtual clock, for a machine that was suspended; processors are stopped.</summary>
    public void SetClock(ulong nanoseconds)
    {
        var data = new KvmClockData { Clock = nanoseconds };
        KvmCalls.Check(_vm.Control(KvmRequest.SetClock, ref data), "set the guest's clock");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (var processor in _processors)
        {
            // Null only where the constructor gave up half-way.
            processor?.Dispose();
        }

        _vm.Dispose();
    }

    private static FileDescriptor CreateVm(KvmDevice device)
    {
        int result;
        do
        {
            // A signal at the wrong moment makes the kernel give up; it says so and may be asked again.
            result = device.Descriptor.Control(KvmRequest.CreateVm);
        }
        while (result == -Errno.EINTR);
        return new FileDescriptor(KvmCalls.Check(result, "make a virtual machine"));
    }

    private unsafe void ForwardUnknownMsrs(KvmDevice device)
    {
        if (device.Check(KvmCapability.X86UserSpaceMsr) == 0)
        {
            return;
        }

        // Bits: the access is invalid, unknown, or filtered (KVM_MSR_EXIT_REASON_*).
        var enable = new KvmEnableCap { Capability = (uint)KvmCapability.X86UserSpaceMsr };
        enable.Arguments[0] = 1 | 2 | 4;
        _ = _vm.Control(KvmRequest.EnableCap, ref enable);
    }
}
