using System.Buffers.Binary;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>Resource descriptors (ACPI 6.5, 6.4) and the templates made of them.</summary>
internal static class AmlResource
{
    /// <summary>What an address space descriptor describes.</summary>
    public enum AddressSpace : byte
    {
        /// <summary>Memory.</summary>
        Memory = 0,
        /// <summary>I/O ports.</summary>
        Io = 1,
        /// <summary>Bus numbers.</summary>
        BusNumbers = 2,
    }

    // General flags: _MAF and _MIF fixed, positive decode, producer.
    private const byte FixedRange = 0x0C;
    private const byte MemoryReadWrite = 1, IoEntireRange = 3;

    /// <summary><c>ResourceTemplate () { … }</c>.</summary>
    public static byte[] Template(params ReadOnlySpan<byte[]> descriptors) => Aml.Buffer([.. Aml.Join(descriptors), 0x79, 0x00]);

    /// <summary><c>IO (Decode16, …)</c>, a range of ports at a fixed place.</summary>
    public static byte[] Ports(ushort first, byte count) =>
        [0x47, 0x01, (byte)first, (byte)(first >> 8), (byte)first, (byte)(first >> 8), 0x01, count];

    /// <summary><c>IRQNoFlags ()</c>: an ISA interrupt, edge-triggered, active high.</summary>
    public static byte[] IsaInterrupt(int irq) => [0x22, (byte)(1 << irq), (byte)((1 << irq) >> 8)];

    /// <summary><c>Memory32Fixed (ReadWrite, …)</c>.</summary>
    public static byte[] FixedMemory(uint address, uint bytes)
    {
        byte[] descriptor = new byte[12];
        descriptor[0] = 0x86;
        descriptor[1] = 9;
        descriptor[3] = 1;
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(4), address);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(8), bytes);
        return descriptor;
    }

    /// <summary><c>WordBusNumber</c> or <c>WordIO</c>.</summary>
    public static byte[] Word(AddressSpace space, ushort first, ushort last)
    {
        byte[] descriptor = Header(0x88, 16, space);
        BinaryPrimitives.WriteUInt16LittleEndian(descriptor.AsSpan(8), first);
        BinaryPrimitives.WriteUInt16LittleEndian(descriptor.AsSpan(10), last);
        BinaryPrimitives.WriteUInt16LittleEndian(descriptor.AsSpan(14), (ushort)(last - first + 1));
        return descriptor;
    }

    /// <summary><c>DWordMemory</c>, not cacheable, read and write.</summary>
    public static byte[] DoubleWordMemory(uint first, uint last)
    {
        byte[] descriptor = Header(0x87, 26, AddressSpace.Memory);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(10), first);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(14), last);
        BinaryPrimitives.WriteUInt32LittleEndian(descriptor.AsSpan(22), last - first + 1);
        return descriptor;
    }

    /// <summary><c>QWordMemory</c>, not cacheable, read and write.</summary>
    public static byte[] QuadWordMemory(ulong first, ulong last)
    {
        byte[] descriptor = Header(0x8A, 46, AddressSpace.Memory);
        BinaryPrimitives.WriteUInt64LittleEndian(descriptor.AsSpan(14), first);
        BinaryPrimitives.WriteUInt64LittleEndian(descriptor.AsSpan(22), last);
        BinaryPrimitives.WriteUInt64LittleEndian(descriptor.AsSpan(38), last - first + 1);
        return descriptor;
    }

    private static byte[] Header(byte tag, int bytes, AddressSpace space)
    {
        byte[] descriptor = new byte[bytes];
        descriptor[0] = tag;
        BinaryPrimitives.WriteUInt16LittleEndian(descriptor.AsSpan(1), (ushort)(bytes - 3));
        descriptor[3] = (byte)space;
        descriptor[4] = FixedRange;
        descriptor[5] = space switch
        {
            AddressSpace.Memory => MemoryReadWrite,
            AddressSpace.Io => IoEntireRange,
            _ => 0,
        };
        return descriptor;
    }
}
