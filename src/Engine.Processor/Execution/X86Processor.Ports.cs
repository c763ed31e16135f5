namespace Hypervisor.Engine.Processor;

// I/O ports and their protection (Intel SDM vol. 1, 19.5).
public sealed unsafe partial class X86Processor
{
    private int _spins;

    internal void CheckPort(ushort port, int size)
    {
        if (!IsProtected || (State->Cpl <= IoPrivilege && !IsVirtual8086))
        {
            return;
        }

        ref SegmentState tr = ref State->Segments[(int)SegmentName.Tr];
        if (!tr.IsUsable || (tr.Type & 8) == 0 || tr.Limit < 103)
        {
            RaiseGeneralProtection();
        }

        uint map = ReadSystem<ushort>(tr.Base + TaskIoMapBase);
        uint at = map + ((uint)port >> 3);
        if (at + 1 > tr.Limit)
        {
            RaiseGeneralProtection();
        }

        uint bits = (uint)ReadSystem<ushort>(tr.Base + at) >> (port & 7);
        if ((bits & ((1u << size) - 1)) != 0)
        {
            RaiseGeneralProtection();
        }
    }

    internal uint ReadPort(ushort port, int size)
    {
        if (_watchesPorts)
        {
            NotePort(port, size);
        }

        bool was = LeaveGuest();
        uint value = _ports.Read(port, size);
        ReturnToGuest(was);
        return value;
    }

    internal void WritePort(ushort port, int size, uint value)
    {
        if (_watchesPorts)
        {
            NotePort(port, size);
        }

        bool was = LeaveGuest();
        _ports.Write(port, size, value);
        ReturnToGuest(was);
    }

    /// <summary>PAUSE: gives way to other threads when a spin lasts.</summary>
    internal void SpinHint()
    {
        if ((++_spins & 63) == 0)
        {
            // Nobody waits for a processor that gives way.
            bool was = LeaveGuest();
            Thread.Yield();
            ReturnToGuest(was);
        }
    }
}
