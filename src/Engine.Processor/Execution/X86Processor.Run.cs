using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// The loop: attention, next block, its instructions.
public sealed unsafe partial class X86Processor
{
    private Activity _activity;
    private int _runningThread;

    // TF was set when the block (of one instruction) was entered: a trap is due after it.
    private bool _stepArmed;

    // The next block is the one instruction after STI or a load of SS; interrupts are looked at behind it.
    private bool _inShadow;

    // NMIs are held back from the delivery of one until IRET.
    private volatile bool _nmiBlocked;

    // Another NMI came before the pending one was looked at. A processor, which looks after each instruction, would have begun with the
    // first and held the second, so that none is lost; while one is served only one more is kept.
    private int _furtherNmi;

    private StopReason RunLoop()
    {
        if (_activity == Activity.Shutdown)
        {
            return TakeAttention(Attention.Stop) ? StopReason.Requested : StopReason.Shutdown;
        }

        Volatile.Write(ref _runningThread, Environment.CurrentManagedThreadId);
        _tier = ProcessorTier.Interpreted;
        EnterGuest();
        try
        {
            StopReason reason;
            while (!RunUntilFault(out reason))
            {
                DeliverPendingException();
                if (_activity == Activity.Shutdown)
                {
                    reason = StopReason.Shutdown;
                    break;
                }
            }

            return reason;
        }
        finally
        {
            LeaveGuest();
            _tier = ProcessorTier.Stopped;
            Volatile.Write(ref _runningThread, 0);
        }
    }

    // False: a guest exception is to be delivered.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool RunUntilFault(out StopReason reason)
    {
        try
        {
            while (true)
            {
                if ((State->Attention != 0 || _activity != Activity.Running) && Attend(out reason))
                {
                    return true;
                }

                DecodedInstruction* first = NextBlock(State->Rip);
                if (first == null)
                {
                    reason = default;
                    return false;
                }

                Block* block = (Block*)first - 1;
                if (block->Warmth == 0)
                {
                    Execute(first);
                }
                else if (!RunWarm(block, first))
                {
                    reason = default;
                    return false;
                }
            }
        }
        catch (GuestException)
        {
            reason = default;
            return false;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Execute(DecodedInstruction* i)
    {
        CpuState* state = State;
        do
        {
            state->Current = i;
            i = i->Handler(this, i);
        }
        while (i != null);
    }

    // Acts on whatever is pending between two instructions; true to leave Run.
    private bool Attend(out StopReason reason)
    {
        reason = StopReason.Requested;
        var attention = (Attention)Volatile.Read(ref State->Attention);
        if ((attention & (Attention.FlushMappings | Attention.FlushBlocks | Attention.EvictBlocks | Attention.ReleaseBlocks | Attention.CodeInvalidation | Attention.Orders)) != 0)
        {
            AttendCaches(attention);
        }

        if ((attention & Attention.Stop) != 0 && TakeAttention(Attention.Stop))
        {
            // Before anything is delivered: a guest whose handlers fault, or hit their own breakpoints, would never let it come to this.
            return true;
        }

        if ((attention & Attention.Init) != 0 && TakeAttention(Attention.Init))
        {
            ResetOnInit();
        }

        // Both may be pending on a processor whose thread was late; the start-up then is the one that followed the INIT.
        if ((attention & Attention.Startup) != 0 && TakeAttention(Attention.Startup) && _activity == Activity.WaitingForStartup)
        {
            StartAt((byte)Volatile.Read(ref _startupVector));
        }

        if (_activity != Activity.WaitingForStartup)
        {
            AttendTraps();
            AttendInterrupts();
        }
        else
        {
            // Nothing but a start-up is taken here; what is left pending would keep the host's thread awake.
            TakeAttention(Attention.Interrupt | Attention.Nmi);
            _furtherNmi = 0;
            State->InterruptHeld = 1;
        }

        reason = _activity == Activity.Shutdown ? StopReason.Shutdown : StopReason.Halted;
        return _activity != Activity.Running;
    }

    private void AttendCaches(Attention attention)
    {
        if ((attention & Attention.Orders) != 0)
        {
            CarryOutOrders();
        }

        if ((attention & Attention.FlushMappings) != 0 && TakeAttention(Attention.FlushMappings))
        {
            FlushTranslations();
        }

        if ((attention & Attention.CodeInvalidation) != 0 && TakeAttention(Attention.CodeInvalidation))
        {
            // What comes meanwhile signals again: others can store to code faster than this forgets it.
            for (int left = _invalidatedPages.Count; left > 0 && _invalidatedPages.TryDequeue(out ulong page); left--)
            {
                DropCodePage(page);
            }
        }

        if ((attention & Attention.FlushBlocks) != 0 && TakeAttention(Attention.FlushBlocks))
        {
            FlushBlocks();
        }

        if ((attention & Attention.ReleaseBlocks) != 0 && TakeAttention(Attention.ReleaseBlocks))
        {
            ReleaseBlocks();
        }

        if ((attention & Attention.EvictBlocks) != 0 && TakeAttention(Attention.EvictBlocks))
        {
            EvictBlocks();
        }
    }

    private void AttendInterrupts()
    {
        if (_inShadow)
        {
            _inShadow = false;
            RefreshStamp();
        }

        if (State->ShadowRip != ulong.MaxValue)
        {
            bool shadowed = State->ShadowRip == State->Rip;
            State->ShadowRip = ulong.MaxValue;
            if (shadowed)
            {
                _inShadow = true;
                RefreshStamp();
                return;
            }
        }

        if ((State->Attention & (int)Attention.Nmi) != 0 && !_nmiBlocked && TakeAttention(Attention.Nmi))
        {
            _activity = Activity.Running;
            _nmiBlocked = true;
            if (Interlocked.Exchange(ref _furtherNmi, 0) != 0)
            {
                SetAttention(Attention.Nmi);
            }

            DeliverExternal((int)Vector.Nmi);
        }

        if ((State->Attention & (int)Attention.Interrupt) == 0)
        {
            return;
        }

        // Cleared before asking: a signal that comes after the question sets it again. Whatever makes IF 1 sets it, too.
        TakeAttention(Attention.Interrupt);
        if (LocalApic is not { HasInterrupt: true } apic)
        {
            State->InterruptHeld = 0;
            return;
        }

        bool enabled = (State->SystemFlags & Rflags.Interrupt) != 0;
        State->InterruptHeld = enabled ? (byte)0 : (byte)1;
        if (!enabled)
        {
            return;
        }

        bool was = LeaveGuest();
        int vector = apic.Acknowledge();
        ReturnToGuest(was);
        if (vector >= 0)
        {
            _activity = Activity.Running;
            SetAttention(Attention.Interrupt);
            DeliverExternal(vector);
        }
    }

    private void NoteNmi()
    {
        if ((Volatile.Read(ref State->Attention) & (int)Attention.Nmi) != 0 && !_nmiBlocked)
        {
            Volatile.Write(ref _furtherNmi, 1);
        }

        SignalAttention(Attention.Nmi);
    }

    /// <summary>HLT.</summary>
    internal void Halt()
    {
        _activity = Activity.Halted;
        SetAttention(Attention.Interrupt);
    }
}
