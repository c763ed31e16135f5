using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

// Power-on and INIT (Intel SDM vol. 3A, table 9-1).
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// Puts the processor into its power-on state: the bootstrap processor at the reset vector F000:FFF0h (physical FFFF_FFF0h),
    /// the others waiting for a start-up IPI.
    /// </summary>
    public void Reset()
    {
        // What others ask for in the meantime, and what they asked for before, is done all the same; but for what the guest brought about.
        TakeAttention(Attention.Interrupt | Attention.Nmi | Attention.Init | Attention.Startup | Attention.SingleStep);
        ulong retired = State->Retired;
        byte* behind = (byte*)(&State->Attention + 1);
        NativeMemory.Clear(State, (nuint)((byte*)&State->Attention - (byte*)State));
        NativeMemory.Clear(behind, (nuint)((byte*)(State + 1) - behind));
        State->Retired = retired;
        State->Mxcsr = 0x1F80;
        State->Xcr0 = 1;
        State->X87Control = 0x40;
        InitialiseTranslatedState();
        _msrs.Reset();
        ResetCommon(0x6000_0010);
    }

    // INIT keeps the FPU, MSRs and caches.
    private void ResetOnInit()
    {
        ResetCommon((State->Cr0 & (Cr0Cd | Cr0Nw)) | 0x10);
    }

    private void ResetCommon(ulong cr0)
    {
        for (int n = 0; n < 16; n++)
        {
            State->Gpr[n] = 0;
        }

        State->Gpr[2] = _level.Signature;
        State->Rip = 0xFFF0;
        State->ShadowRip = ulong.MaxValue;
        _inShadow = false;
        _nmiBlocked = false;
        _furtherNmi = 0;
        LazyFlags.Set(State, 0);
        State->SystemFlags = 0;
        State->Cr0 = cr0;
        State->Cr2 = State->Cr3 = State->Cr4 = State->Efer = 0;
        State->GdtBase = State->IdtBase = 0;
        State->GdtLimit = State->IdtLimit = 0xFFFF;
        for (int n = 0; n < 8; n++)
        {
            State->Debug[n] = 0;
        }

        SetDebug(6, 0);
        SetDebug(7, 0);
        _debugPending = 0;
        for (int n = 0; n < 6; n++)
        {
            State->Segments[n] = new SegmentState { Limit = 0xFFFF, Attributes = 0x93 };
        }

        State->Segments[(int)SegmentName.Cs] = new SegmentState { Base = 0xFFFF_0000, Limit = 0xFFFF, Attributes = 0x9B, Selector = 0xF000 };
        State->Segments[(int)SegmentName.Ldtr] = new SegmentState { Limit = 0xFFFF, Attributes = 0x82 };
        State->Segments[(int)SegmentName.Tr] = new SegmentState { Limit = 0xFFFF, Attributes = 0x8B };
        _activity = Index == 0 ? Activity.Running : Activity.WaitingForStartup;
        RefreshMode();
    }

    private void StartAt(byte vector)
    {
        ref SegmentState cs = ref State->Segments[(int)SegmentName.Cs];
        cs.Selector = (ushort)(vector << 8);
        cs.Base = (ulong)vector << 12;
        State->Rip = 0;
        _activity = Activity.Running;
        RefreshMode();
    }
}
