using System.Buffers.Binary;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>Small kernels, assembled in the test that boots them: flat Multiboot images in 32-bit protected mode, interrupts off.</summary>
internal static class GuestKernel
{
    public const uint LoadAddress = 0x10_0000;
    public const uint StackTop = 0x9_0000;
    public const ushort DebugExitPort = 0xF4;
    public const ushort SerialPort = 0x3F8;

    private const int HeaderBytes = 32;

    /// <summary>Assembles a kernel.</summary>
    public static byte[] Assemble(Action<Assembler> write)
    {
        var assembler = new Assembler(32);
        assembler.mov(esp, StackTop);
        write(assembler);
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), LoadAddress + HeaderBytes);
        byte[] code = stream.ToArray();
        byte[] image = new byte[HeaderBytes + code.Length];
        const uint Magic = 0x1BADB002, Flags = 0x10003;
        Put(image, 0, Magic);
        Put(image, 4, Flags);
        Put(image, 8, unchecked(0u - Magic - Flags));
        Put(image, 12, LoadAddress);
        Put(image, 16, LoadAddress);
        Put(image, 28, LoadAddress + HeaderBytes);
        code.CopyTo(image, HeaderBytes);
        return image;
    }

    /// <summary>Writes a byte to a port.</summary>
    public static void Out8(this Assembler assembler, ushort port, byte value)
    {
        assembler.mov(dx, port);
        assembler.mov(al, value);
        assembler.@out(dx, al);
    }

    /// <summary>Writes a word to a port.</summary>
    public static void Out16(this Assembler assembler, ushort port, ushort value)
    {
        assembler.mov(dx, port);
        assembler.mov(ax, value);
        assembler.@out(dx, ax);
    }

    /// <summary>Prints a text on the first serial port.</summary>
    public static void Print(this Assembler assembler, string text)
    {
        foreach (char character in text)
        {
            assembler.Out8(SerialPort, (byte)character);
        }
    }

    /// <summary>Stores EAX at a place, or compares what is there with it.</summary>
    public static void StoreOrCompare(this Assembler assembler, AssemblerMemoryOperand place, bool write, Label wrong)
    {
        if (write)
        {
            assembler.mov(place, eax);
        }
        else
        {
            assembler.cmp(place, eax);
            assembler.jne(wrong);
        }
    }

    /// <summary>Makes the next of a sequence of numbers of EAX that nobody compresses.</summary>
    public static void Noise(this Assembler assembler)
    {
        assembler.imul(eax, eax, 1664525);
        assembler.add(eax, 1013904223);
    }

    /// <summary>Ends the machine with a code.</summary>
    public static void Exit(this Assembler assembler, int code)
    {
        assembler.mov(eax, code);
        assembler.ExitWithEax();
    }

    /// <summary>Ends the machine with EAX as code.</summary>
    public static void ExitWithEax(this Assembler assembler)
    {
        assembler.mov(dx, DebugExitPort);
        assembler.@out(dx, eax);
        assembler.Hang();
    }

    /// <summary>Does nothing for ever, with interrupts as they are.</summary>
    public static void Hang(this Assembler assembler)
    {
        var again = assembler.CreateLabel();
        assembler.Label(ref again);
        assembler.pause();
        assembler.jmp(again);
    }

    private static void Put(byte[] image, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(offset), value);
}
