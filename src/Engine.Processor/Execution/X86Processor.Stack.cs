using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// The stack at the width of the mode.
public sealed unsafe partial class X86Processor
{
    /// <summary>Pushes; RSP changes only if the store succeeds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Push<T>(T value) where T : unmanaged
    {
        if (_is64Bit)
        {
            ulong sp = State->Gpr[4] - (ulong)sizeof(T);
            Write(sp, value);
            State->Gpr[4] = sp;
        }
        else
        {
            PushSegmented(value);
        }
    }

    /// <summary>What lies on top of the stack.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal T Peek<T>() where T : unmanaged => Peek<T>(0);

    /// <summary>What lies so many bytes above the top of the stack.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal T Peek<T>(int above) where T : unmanaged => _is64Bit
        ? Read<T>(State->Gpr[4] + (ulong)above)
        : Read<T>(StackSlot((ulong)above, sizeof(T)));

    /// <summary>
    /// For instructions that name another operand in memory: raises #SS(0) where the stack's own, of so many bytes, is not canonical
    /// (Intel SDM vol. 3A, 6.15, interrupt 12). The page walk only knows the segment that was named.
    /// </summary>
    /// <param name="offset">Of the operand from the stack pointer.</param>
    /// <param name="size">In bytes.</param>
    internal void CheckStackAddress(int offset, int size)
    {
        ulong first = State->Gpr[4] + (ulong)offset;
        if (_is64Bit && !(IsCanonical(first) && IsCanonical(first + (ulong)size - 1)))
        {
            Raise(Vector.StackFault, 0);
        }
    }

    /// <summary>Adds to RSP, ESP or SP.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void MoveStack(int bytes)
    {
        if (_is64Bit)
        {
            State->Gpr[4] += (ulong)bytes;
        }
        else
        {
            SetStackPointer(State->Gpr[4] + (ulong)bytes);
        }
    }

    private void PushSegmented<T>(T value) where T : unmanaged
    {
        ulong sp = State->Gpr[4];
        ulong linear = StackAddress(ref sp, sizeof(T), AccessKind.Write);
        Write(linear, value);
        State->Gpr[4] = sp;
    }
}
