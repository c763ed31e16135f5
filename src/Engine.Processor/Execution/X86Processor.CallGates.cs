namespace Hypervisor.Engine.Processor;

// Far JMP and CALL to system descriptors: call gates, task gates and task-state segments (Intel SDM vol. 3A, 5.8.3 and 8.3).
public sealed unsafe partial class X86Processor
{
    private const int ShortTask = 1, ShortCallGate = 4, TaskGate = 5, LongTask = 9, CallGate = 0xC;

    private void FarThroughSystem(SegmentState descriptor, ushort selector, bool call, ulong next)
    {
        uint error = selector & 0xFFFCu;
        int type = descriptor.Type;
        bool known = type == CallGate || (!_isLongMode && type is ShortTask or ShortCallGate or TaskGate or LongTask);
        if (!known || descriptor.Dpl < State->Cpl || descriptor.Dpl < (selector & 3))
        {
            Raise(Vector.GeneralProtection, error);
        }

        if (type is ShortTask or LongTask)
        {
            FarToTask(selector, call, next);
            return;
        }

        TryDescriptorAddress(selector, out ulong address);
        ulong upper = 0;
        if (_isLongMode)
        {
            // Sixteen bytes; where the type of a second descriptor would stand there must be none (vol. 3A, 5.8.3.1).
            if (!TryDescriptorAddress((ushort)(selector + 8), out ulong second)
                || ((upper = ReadSystem<ulong>(second)) & 0x1F00_0000_0000) != 0)
            {
                Raise(Vector.GeneralProtection, error);
            }
        }

        if ((descriptor.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }

        ulong gate = ReadSystem<ulong>(address);
        ushort target = (ushort)(gate >> 16);
        if (type == TaskGate)
        {
            FarToTask(target, call, next);
            return;
        }

        ulong offset = (gate & 0xFFFF) | (type == ShortCallGate ? 0 : (gate >> 48) << 16) | (upper << 32);
        FarThroughCallGate(gate, target, offset, type, call, next);
    }

    private void FarThroughCallGate(ulong gate, ushort selector, ulong offset, int type, bool call, ulong next)
    {
        uint error = selector & 0xFFFCu;
        if (error == 0)
        {
            Raise(Vector.GeneralProtection, 0);
        }

        SegmentState code = ReadDescriptor(selector, Vector.GeneralProtection);
        int cpl = State->Cpl;
        bool conforming = (code.Attributes & SegmentState.Conforming) != 0;
        const uint wanted = SegmentState.NonSystem | SegmentState.Code;
        if ((code.Attributes & wanted) != wanted
            || code.Dpl > cpl || (!call && !conforming && code.Dpl != cpl)
            || (_isLongMode && (code.Attributes & (SegmentState.Long | SegmentState.Big)) != SegmentState.Long))
        {
            Raise(Vector.GeneralProtection, error);
        }

        if ((code.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }

        MarkAccessed(ref code);
        int size = _isLongMode ? 8 : type == ShortCallGate ? 2 : 4;
        int newCpl = conforming ? cpl : code.Dpl;
        ushort oldCs = State->Segments[(int)SegmentName.Cs].Selector;
        CheckReturnTarget(code, offset);
        if (call && newCpl < cpl)
        {
            if (_isLongMode)
            {
                CallInwardLong(newCpl, oldCs, next);
            }
            else
            {
                CallInward((int)(gate >> 32) & 31, newCpl, size, oldCs, next);
            }
        }
        else if (call)
        {
            PushFar(size, oldCs, next);
        }

        SetCode(code, newCpl);
        State->Rip = offset;
    }

    private void CallInwardLong(int newCpl, ushort oldCs, ulong next)
    {
        ulong stack = ReadTaskStack64(4 + ((uint)newCpl * 8), 0);
        EnterSupervisorAt(newCpl);
        PushLong(ref stack, State->Segments[(int)SegmentName.Ss].Selector);
        PushLong(ref stack, State->Gpr[4]);
        PushLong(ref stack, oldCs);
        PushLong(ref stack, next);
        LeaveSupervisor();
        State->Segments[(int)SegmentName.Ss] = NullStack(newCpl);
        State->Gpr[4] = stack;
    }

    // What SS is after a change to a more privileged level in IA-32e mode (vol. 3A, 6.14.4).
    private static SegmentState NullStack(int cpl) => new()
    {
        Selector = (ushort)cpl,
        Attributes = SegmentState.Unusable | ((uint)cpl << 5),
    };

    private void CallInward(int count, int newCpl, int size, ushort oldCs, ulong next)
    {
        ushort oldSs = State->Segments[(int)SegmentName.Ss].Selector;
        ulong oldSp = State->Gpr[4];
        (SegmentState ss, ulong sp) = ReadTaskStack32(newCpl, 0);
        uint* parameters = stackalloc uint[31];
        ulong mask = StackMask;
        for (int n = 0; n < count; n++)
        {
            ulong at = SegmentedAddress(SegmentName.Ss, (oldSp + (ulong)(n * size)) & mask, (uint)size, AccessKind.Read);
            parameters[n] = size == 2 ? Read<ushort>(at) : Read<uint>(at);
        }

        var frame = new StackFrame(ss, sp, size == 4, ss.Selector & 0xFFFCu);
        EnterSupervisorAt(newCpl);
        Push(ref frame, oldSs);
        Push(ref frame, (uint)oldSp);
        for (int n = count - 1; n >= 0; n--)
        {
            Push(ref frame, parameters[n]);
        }

        Push(ref frame, oldCs);
        Push(ref frame, (uint)next);
        LeaveSupervisor();
        MarkAccessed(ref ss);
        State->Segments[(int)SegmentName.Ss] = ss;
        State->Gpr[4] = frame.Wide(oldSp);
    }
}
