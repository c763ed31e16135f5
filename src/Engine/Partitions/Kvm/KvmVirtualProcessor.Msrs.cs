using Hypervisor.Engine.Native.Kvm;

namespace Hypervisor.Engine.Partitions.Kvm;

public sealed unsafe partial class KvmVirtualProcessor
{
    private long _unknownMsrAccesses;

    /// <summary>Accesses of the guest to model-specific registers that neither the kernel nor this backend knows.</summary>
    public long UnknownMsrAccesses => Volatile.Read(ref _unknownMsrAccesses);

    /// <summary>The last such register.</summary>
    public uint LastUnknownMsr { get; private set; }

    /// <inheritdoc/>
    public bool TryGetMsr(uint index, out ulong value)
    {
        var msr = new KvmSingleMsr { Count = 1, Index = index };
        bool known = _descriptor.Control(KvmRequest.GetMsrs, ref msr) == 1;
        value = known ? msr.Value : 0;
        return known;
    }

    /// <inheritdoc/>
    public bool TrySetMsr(uint index, ulong value)
    {
        var msr = new KvmSingleMsr { Count = 1, Index = index, Value = value };
        return _descriptor.Control(KvmRequest.SetMsrs, ref msr) == 1;
    }

    private void HandleMsr(KvmRun* run)
    {
        ref var msr = ref run->Msr;
        bool known = run->ExitReason == KvmExitReason.X86ReadMsr
            ? UnknownMsrPolicy.TryRead(msr.Index, out msr.Data)
            : UnknownMsrPolicy.TryWrite(msr.Index);
        msr.Error = known ? (byte)0 : (byte)1;
        if (!known)
        {
            LastUnknownMsr = msr.Index;
            Volatile.Write(ref _unknownMsrAccesses, _unknownMsrAccesses + 1);
        }
    }
}
