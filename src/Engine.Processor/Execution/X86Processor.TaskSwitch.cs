namespace Hypervisor.Engine.Processor;

/// <summary>What makes the processor go over to another task.</summary>
internal enum TaskSwitchCause
{
    /// <summary>A far JMP: the task that is left is over.</summary>
    Jump,
    /// <summary>A far CALL: the task that is left waits for an IRET.</summary>
    Call,
    /// <summary>IRET with NT set.</summary>
    Return,
    /// <summary>An interrupt or exception through a task gate.</summary>
    Interrupt,
}

// Hardware task switches (Intel SDM vol. 3A, 8.3); there are none in IA-32e mode. Everything up to the commit can fault in the old
// task; what is wrong with the new task's segments faults in the new one.
public sealed unsafe partial class X86Processor
{
    private const uint TaskLink = 0, LongTaskCr3 = 28, LongTaskState = 32, LongTaskLdt = 96, LongTaskTrap = 100;
    private const uint ShortTaskState = 14, ShortTaskLdt = 42;
    private const int LongTaskBytes = 104, ShortTaskBytes = 44;
    private const uint TaskBusy = 2, TaskWide = 8;

    /// <summary>Reads a TSS descriptor; raises unless it can be switched to.</summary>
    private SegmentState ReadTaskDescriptor(ushort selector, TaskSwitchCause cause, uint external, out ulong address)
    {
        bool back = cause == TaskSwitchCause.Return;
        Vector vector = back ? Vector.InvalidTss : Vector.GeneralProtection;
        uint error = (selector & 0xFFFCu) | external;
        address = 0;
        if ((selector & 4) != 0 || (selector & 0xFFFC) == 0 || !TryDescriptorAddress(selector, out address))
        {
            Raise(vector, error);
        }

        SegmentState task = ParseDescriptor(selector, ReadSystem<ulong>(address));
        uint type = task.Attributes & 0x1F & ~TaskWide;
        if (type != (back ? 1u | TaskBusy : 1u))
        {
            Raise(vector, error);
        }

        if ((task.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }

        if (task.Limit < TaskBytes(task) - 1u)
        {
            Raise(Vector.InvalidTss, error);
        }

        return task;
    }

    private static bool IsWideTask(SegmentState task) => (task.Attributes & TaskWide) != 0;

    private static int TaskBytes(SegmentState task) => IsWideTask(task) ? LongTaskBytes : ShortTaskBytes;

    /// <summary>IRET with NT: back to the task that the link of the current one names.</summary>
    private void ReturnToTask(ulong next)
    {
        ref SegmentState current = ref State->Segments[(int)SegmentName.Tr];
        if (current.Limit < 1)
        {
            Raise(Vector.InvalidTss, current.Selector & 0xFFFCu);
        }

        SwitchTask(ReadSystem<ushort>(current.Base + TaskLink), TaskSwitchCause.Return, next, GetRflags() & ~Rflags.NestedTask, 0);
        CheckTaskEntry(0);
    }

    /// <summary>A far transfer to a TSS descriptor or through a task gate.</summary>
    private void FarToTask(ushort selector, bool call, ulong next)
    {
        SwitchTask(selector, call ? TaskSwitchCause.Call : TaskSwitchCause.Jump, next, GetRflags(), 0);
        CheckTaskEntry(0);
    }

    /// <summary>An interrupt or exception through a task gate.</summary>
    private void InterruptToTask(ushort selector, ulong flags, uint? errorCode, uint external)
    {
        SwitchTask(selector, TaskSwitchCause.Interrupt, State->Rip, flags, external);
        if (errorCode is uint error)
        {
            bool wide = IsWideTask(State->Segments[(int)SegmentName.Tr]);
            var frame = new StackFrame(State->Segments[(int)SegmentName.Ss], State->Gpr[4], wide, external);
            EnterSupervisorAt(State->Cpl);
            Push(ref frame, error);
            LeaveSupervisor();
            State->Gpr[4] = frame.Wide(State->Gpr[4]);
        }

        CheckTaskEntry(external);
    }

    private void CheckTaskEntry(uint external)
    {
        if (State->Rip > State->Segments[(int)SegmentName.Cs].Limit)
        {
            Raise(Vector.GeneralProtection, external);
        }
    }

    // next and flags are what the old task goes on with.
    private void SwitchTask(ushort selector, TaskSwitchCause cause, ulong next, ulong flags, uint external)
    {
        SegmentState incoming = ReadTaskDescriptor(selector, cause, external, out ulong incomingAddress);
        SegmentState outgoing = State->Segments[(int)SegmentName.Tr];
        if (!outgoing.IsUsable || outgoing.Limit < TaskBytes(outgoing) - 1u
            || !TryDescriptorAddress(outgoing.Selector, out ulong outgoingAddress))
        {
            Raise(Vector.InvalidTss, (outgoing.Selector & 0xFFFCu) | external);
            return;
        }

        bool nests = cause is TaskSwitchCause.Call or TaskSwitchCause.Interrupt;
        EnterSupervisor();
        ProbeRange((uint)outgoing.Base, TaskBytes(outgoing), AccessKind.Write);
        ProbeRange((uint)incoming.Base, TaskBytes(incoming), nests ? AccessKind.Write : AccessKind.Read);
        ProbeRange((uint)incomingAddress, 8, cause == TaskSwitchCause.Return ? AccessKind.Read : AccessKind.Write);
        ProbeRange((uint)outgoingAddress, 8, nests ? AccessKind.Read : AccessKind.Write);
        LeaveSupervisor();

        if (!nests)
        {
            ChangeTaskBusy(outgoingAddress, busy: false);
        }

        if (cause != TaskSwitchCause.Return)
        {
            ChangeTaskBusy(incomingAddress, busy: true);
        }

        SaveTask(outgoing, next, flags);
        if (nests)
        {
            WriteSystem(incoming.Base + TaskLink, outgoing.Selector);
        }

        incoming.Attributes |= TaskBusy;
        State->Segments[(int)SegmentName.Tr] = incoming;
        State->Cr0 |= Cr0Ts;
        LoadTask(incoming, nests ? Rflags.NestedTask : 0, external);
    }

    private void ChangeTaskBusy(ulong descriptor, bool busy)
    {
        byte type = ReadSystem<byte>(descriptor + 5);
        WriteSystem(descriptor + 5, (byte)(busy ? type | TaskBusy : type & ~TaskBusy));
    }

    private void SaveTask(SegmentState task, ulong next, ulong flags)
    {
        if (!IsWideTask(task))
        {
            ulong word = task.Base + ShortTaskState;
            WriteSystem(word, (ushort)next);
            WriteSystem(word + 2, (ushort)flags);
            for (int n = 0; n < 8; n++)
            {
                WriteSystem(word + 4 + ((ulong)n * 2), (ushort)State->Gpr[n]);
            }

            for (int n = 0; n < 4; n++)
            {
                WriteSystem(word + 20 + ((ulong)n * 2), State->Segments[n].Selector);
            }

            return;
        }

        ulong at = task.Base + LongTaskState;
        WriteSystem(at, (uint)next);
        WriteSystem(at + 4, (uint)flags);
        for (int n = 0; n < 8; n++)
        {
            WriteSystem(at + 8 + ((ulong)n * 4), (uint)State->Gpr[n]);
        }

        for (int n = 0; n < 6; n++)
        {
            WriteSystem(at + 40 + ((ulong)n * 4), State->Segments[n].Selector);
        }
    }

    private void LoadTask(SegmentState task, ulong setFlags, uint external)
    {
        bool wide = IsWideTask(task);
        ulong at = task.Base + (wide ? LongTaskState : ShortTaskState);
        uint Field(int index) => wide ? ReadSystem<uint>(at + ((ulong)index * 4)) : ReadSystem<ushort>(at + ((ulong)index * 2));
        uint rip = Field(0);
        ulong flags = Field(1) | setFlags;
        uint* general = stackalloc uint[8];
        for (int n = 0; n < 8; n++)
        {
            general[n] = Field(2 + n);
        }

        // A task-state segment of 16 bits has no FS and GS: they become null.
        ushort* selectors = stackalloc ushort[6];
        for (int n = 0; n < 6; n++)
        {
            selectors[n] = wide || n < 4 ? (ushort)Field(10 + n) : (ushort)0;
        }

        ushort ldt = ReadSystem<ushort>(task.Base + (wide ? LongTaskLdt : ShortTaskLdt));
        bool trap = wide && (ReadSystem<ushort>(task.Base + LongTaskTrap) & 1) != 0;
        if (wide && (State->Cr0 & Cr0Pg) != 0)
        {
            LoadCr3(ReadSystem<uint>(task.Base + LongTaskCr3));
        }

        for (int n = 0; n < 8; n++)
        {
            State->Gpr[n] = general[n];
        }

        // From here on faults are the new task's: at its first instruction.
        State->Rip = State->BlockRip = rip;
        State->Current = _fetchMarker;
        State->ShadowRip = ulong.MaxValue;
        LeaveDebugTask(trap);
        LazyFlags.Set(State, flags);
        SetSystemFlags(wide ? flags & Rflags.All : flags & 0xFFFF & Rflags.All);
        LoadTaskSegments(selectors, ldt, external);
    }

    private void LoadTaskSegments(ushort* selectors, ushort ldt, uint external)
    {
        bool virtual8086 = IsVirtual8086;
        int cpl = virtual8086 ? 3 : selectors[(int)SegmentName.Cs] & 3;
        for (int n = 0; n < 6; n++)
        {
            ushort selector = selectors[n];
            State->Segments[n] = virtual8086 ? Virtual8086Segment((SegmentName)n, selector)
                : new SegmentState { Selector = selector, Attributes = SegmentState.Unusable | ((uint)cpl << 5) };
        }

        State->Segments[(int)SegmentName.Ldtr] = new SegmentState { Selector = ldt, Attributes = SegmentState.Unusable };
        DeriveMode();
        if ((ldt & 0xFFFC) != 0)
        {
            LoadTaskLocalTable(ldt, external);
        }

        if (virtual8086)
        {
            return;
        }

        SegmentState code = ReadTaskSegment(selectors[(int)SegmentName.Cs], external);
        bool conforming = (code.Attributes & SegmentState.Conforming) != 0;
        FinishTaskSegment(
            SegmentName.Cs,
            code,
            (code.Attributes & SegmentState.Code) != 0 && (conforming ? code.Dpl <= cpl : code.Dpl == cpl),
            Vector.SegmentNotPresent,
            external);
        DeriveMode();
        ushort stackSelector = selectors[(int)SegmentName.Ss];
        SegmentState stack = ReadTaskSegment(stackSelector, external);
        FinishTaskSegment(
            SegmentName.Ss,
            stack,
            (stack.Attributes & (SegmentState.Code | SegmentState.Writable)) == SegmentState.Writable && stack.Dpl == cpl && (stackSelector & 3) == cpl,
            Vector.StackFault,
            external);
        DeriveMode();
        foreach (var name in (ReadOnlySpan<SegmentName>)[SegmentName.Ds, SegmentName.Es, SegmentName.Fs, SegmentName.Gs])
        {
            ushort selector = selectors[(int)name];
            if ((selector & 0xFFFC) != 0)
            {
                SegmentState data = ReadTaskSegment(selector, external);
                bool isCode = (data.Attributes & SegmentState.Code) != 0;
                bool free = isCode && (data.Attributes & SegmentState.Conforming) != 0;
                bool valid = (!isCode || (data.Attributes & SegmentState.Writable) != 0)
                    && (free || (data.Dpl >= cpl && data.Dpl >= (selector & 3)));
                FinishTaskSegment(name, data, valid, Vector.SegmentNotPresent, external);
            }
        }
    }

    private void LoadTaskLocalTable(ushort selector, uint external)
    {
        uint error = (selector & 0xFFFCu) | external;
        if ((selector & 4) != 0)
        {
            Raise(Vector.InvalidTss, error);
        }

        SegmentState table = ReadDescriptor(selector, Vector.InvalidTss, external);
        if ((table.Attributes & (0x1F | SegmentState.Present)) != (2 | SegmentState.Present))
        {
            Raise(Vector.InvalidTss, error);
        }

        State->Segments[(int)SegmentName.Ldtr] = table;
    }

    private SegmentState ReadTaskSegment(ushort selector, uint external)
    {
        if ((selector & 0xFFFC) == 0)
        {
            Raise(Vector.InvalidTss, external);
        }

        SegmentState segment = ReadDescriptor(selector, Vector.InvalidTss, external);
        if ((segment.Attributes & SegmentState.NonSystem) == 0)
        {
            Raise(Vector.InvalidTss, (selector & 0xFFFCu) | external);
        }

        return segment;
    }

    private void FinishTaskSegment(SegmentName name, SegmentState segment, bool valid, Vector absent, uint external)
    {
        if (!valid)
        {
            Raise(Vector.InvalidTss, (segment.Selector & 0xFFFCu) | external);
        }

        if ((segment.Attributes & SegmentState.Present) == 0)
        {
            Raise(absent, (segment.Selector & 0xFFFCu) | external);
        }

        MarkAccessed(ref segment);
        State->Segments[(int)name] = segment;
    }
}
