using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

public sealed unsafe partial class WhpVirtualProcessor
{
    private const int Done = 0, Failed = unchecked((int)0x8000_4005);

    /// <summary>
    /// What the platform's instruction emulator calls. The context is a handle to the processor; callbacks run on its thread, inside
    /// Run, and must not throw across native frames: the bus does not throw, and every size is checked.
    /// </summary>
    private static WhpEmulatorCallbacks Callbacks => new()
    {
        IoPort = &AccessPort,
        Memory = &AccessMemory,
        GetRegisters = &ReadRegisters,
        SetRegisters = &WriteRegisters,
        TranslateAddress = &Translate,
    };

    [UnmanagedCallersOnly]
    private static int AccessPort(nint context, WhpEmulatorIoAccess* access)
    {
        var processor = From(context);
        int size = access->AccessSize;
        if (size is not (1 or 2 or 4))
        {
            return Failed;
        }

        if (access->Direction != 0)
        {
            processor._bus.WritePort(access->Port, size, access->Data & (uint)((1ul << (size * 8)) - 1));
        }
        else
        {
            access->Data = processor._bus.ReadPort(access->Port, size);
        }

        return Done;
    }

    [UnmanagedCallersOnly]
    private static int AccessMemory(nint context, WhpEmulatorMemoryAccess* access)
    {
        var processor = From(context);
        int size = access->AccessSize;
        if (size is < 1 or > 8)
        {
            return Failed;
        }

        // One operand of the instruction may be ordinary memory (MOVS between a device and RAM).
        bool write = access->Direction != 0;
        nint host = processor._partition.FindMemory(access->Gpa, size, write);
        if (host != 0)
        {
            // SAFETY: FindMemory checked the whole access; the machine keeps memory mapped while processors run.
            if (write)
            {
                Unsafe.CopyBlockUnaligned((void*)host, access->Data, (uint)size);
            }
            else
            {
                Unsafe.CopyBlockUnaligned(access->Data, (void*)host, (uint)size);
            }

            return Done;
        }

        ulong mask = size == 8 ? ulong.MaxValue : (1ul << (size * 8)) - 1;
        if (write)
        {
            processor._bus.WriteMmio(access->Gpa, size, Unsafe.ReadUnaligned<ulong>(access->Data) & mask);
        }
        else
        {
            Unsafe.WriteUnaligned(access->Data, processor._bus.ReadMmio(access->Gpa, size) & mask);
        }

        return Done;
    }

    [UnmanagedCallersOnly]
    private static int ReadRegisters(nint context, WhpRegister* names, uint count, WhpRegisterValue* values)
    {
        var processor = From(context);
        return processor._handle.GetRegisters(processor.Index, names, count, values);
    }

    [UnmanagedCallersOnly]
    private static int WriteRegisters(nint context, WhpRegister* names, uint count, WhpRegisterValue* values)
    {
        var processor = From(context);
        return processor._handle.SetRegisters(processor.Index, names, count, values);
    }

    [UnmanagedCallersOnly]
    private static int Translate(nint context, ulong address, uint flags, uint* outcome, ulong* physical)
    {
        var processor = From(context);

        // WHV_TRANSLATE_GVA_RESULT: the code, then a reserved word.
        ulong result = 0;
        int status = processor._handle.Translate(processor.Index, address, flags, &result, physical);
        *outcome = (uint)result;
        return status;
    }

    private static WhpVirtualProcessor From(nint context) => (WhpVirtualProcessor)GCHandle.FromIntPtr(context).Target!;
}
