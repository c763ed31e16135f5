using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

public sealed partial class KvmPartition
{
    private const int IoApicPins = 24;

    private readonly Lock _routing = new();
    private readonly SortedDictionary<int, KvmIrqRoute> _messageRoutes = [];
    private readonly KvmIrqChip[] _powerOnChips = new KvmIrqChip[3];
    private KvmPitState _powerOnPit;

    /// <inheritdoc/>
    public void SetInterruptLine(int gsi, bool asserted)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(gsi);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(gsi, IoApicPins);
        var level = new KvmIrqLevel { Irq = (uint)gsi, Level = asserted ? 1u : 0u };
        _ = _vm.Control(KvmRequest.IrqLine, ref level);
    }

    /// <inheritdoc/>
    public void SignalMsi(ulong address, uint data)
    {
        // The message is the guest's own: one that makes no sense (EINVAL) or that its APIC does not take (0) goes nowhere, as on a bus.
        var message = new KvmMsi { AddressLow = (uint)address, AddressHigh = (uint)(address >> 32), Data = data };
        _ = _vm.Control(KvmRequest.SignalMsi, ref message);
    }

    /// <inheritdoc/>
    public void AttachExternalInterruptSource(IExternalInterruptSource source)
    {
        // The kernel's PIC is wired to its local APICs.
    }

    /// <inheritdoc/>
    public void SetExternalInterrupt(bool asserted)
    {
        // As above.
    }

    /// <inheritdoc/>
    public void AttachIrqFd(int gsi, EventFd trigger, EventFd? resample = null)
    {
        ArgumentNullException.ThrowIfNull(trigger);
        var irqFd = new KvmIrqFd
        {
            Descriptor = trigger.Number,
            Gsi = (uint)gsi,
            Flags = resample is null ? 0 : KvmIrqFd.Resample,
            ResampleDescriptor = resample?.Number ?? 0,
        };
        KvmCalls.Check(_vm.Control(KvmRequest.IrqFd, ref irqFd), $"attach an event to interrupt {gsi}");
    }

    /// <inheritdoc/>
    public void DetachIrqFd(int gsi, EventFd trigger)
    {
        ArgumentNullException.ThrowIfNull(trigger);
        var irqFd = new KvmIrqFd { Descriptor = trigger.Number, Gsi = (uint)gsi, Flags = KvmIrqFd.Deassign };
        KvmCalls.Check(_vm.Control(KvmRequest.IrqFd, ref irqFd), $"detach an event from interrupt {gsi}");
    }

    /// <inheritdoc/>
    public int AddMessageRoute(ulong address, uint data)
    {
        lock (_routing)
        {
            int limit = Math.Max(_vm.Control(KvmRequest.CheckExtension, (nint)KvmCapability.IrqRouting), IoApicPins);
            for (int gsi = IoApicPins; gsi < limit; gsi++)
            {
                if (!_messageRoutes.ContainsKey(gsi))
                {
                    _messageRoutes.Add(gsi, MessageRoute(gsi, address, data));
                    PublishRoutes();
                    return gsi;
                }
            }

            throw new PartitionException($"All {limit} interrupt routes of the partition are taken.");
        }
    }

    /// <inheritdoc/>
    public void UpdateMessageRoute(int gsi, ulong address, uint data)
    {
        lock (_routing)
        {
            if (!_messageRoutes.ContainsKey(gsi))
            {
                throw new ArgumentException($"Interrupt {gsi} is not a message route.", nameof(gsi));
            }

            _messageRoutes[gsi] = MessageRoute(gsi, address, data);
            PublishRoutes();
        }
    }

    /// <inheritdoc/>
    public void RemoveMessageRoute(int gsi)
    {
        lock (_routing)
        {
            if (_messageRoutes.Remove(gsi))
            {
                PublishRoutes();
            }
        }
    }

    /// <inheritdoc/>
    public void AttachDoorbell(DoorbellSpace space, ulong address, int bytes, ulong? value, EventFd doorbell)
    {
        var request = Doorbell(space, address, bytes, value, doorbell, attach: true);
        KvmCalls.Check(_vm.Control(KvmRequest.IoEventFd, ref request), $"attach a doorbell at {address:x}h");
    }

    /// <inheritdoc/>
    public void DetachDoorbell(DoorbellSpace space, ulong address, int bytes, ulong? value, EventFd doorbell)
    {
        var request = Doorbell(space, address, bytes, value, doorbell, attach: false);
        KvmCalls.Check(_vm.Control(KvmRequest.IoEventFd, ref request), $"detach the doorbell at {address:x}h");
    }

    /// <summary>Power-on state of I/O APIC, PIC and PIT; with the reset of processor 0, as all stand on one reset line.</summary>
    internal void ResetInterruptControllers()
    {
        for (int i = 0; i < _powerOnChips.Length; i++)
        {
            KvmCalls.Check(_vm.Control(KvmRequest.SetIrqChip, ref _powerOnChips[i]), "reset an interrupt controller");
        }

        KvmCalls.Check(_vm.Control(KvmRequest.SetPit2, ref _powerOnPit), "reset the interval timer");
    }

    private static KvmIoEventFd Doorbell(DoorbellSpace space, ulong address, int bytes, ulong? value, EventFd doorbell, bool attach)
    {
        ArgumentNullException.ThrowIfNull(doorbell);
        return new KvmIoEventFd
        {
            Address = address,
            Length = (uint)bytes,
            DataMatch = value ?? 0,
            Descriptor = doorbell.Number,
            Flags = (space == DoorbellSpace.Port ? KvmIoEventFd.PortFlag : 0) | (value is null ? 0 : KvmIoEventFd.DataMatchFlag)
                | (attach ? 0 : KvmIoEventFd.DeassignFlag),
        };
    }

    private static KvmIrqRoute MessageRoute(int gsi, ulong address, uint data) => new()
    {
        Gsi = (uint)gsi,
        Type = KvmIrqRoute.TypeMsi,
        MsiAddressLow = (uint)address,
        MsiAddressHigh = (uint)(address >> 32),
        MsiData = data,
    };

    private void CreateInterruptControllers()
    {
        ulong identityMap = IdentityMapAddress;
        KvmCalls.Check(_vm.Control(KvmRequest.SetIdentityMapAddress, ref identityMap), "place its identity map");
        KvmCalls.Check(_vm.Control(KvmRequest.SetTssAddress, unchecked((nint)TssAddress)), "place its task-state segment");
        KvmCalls.Check(_vm.Control(KvmRequest.CreateIrqChip), "make the interrupt controllers");
        var pit = new KvmPitConfig { Flags = KvmPitConfig.SpeakerDummy };
        KvmCalls.Check(_vm.Control(KvmRequest.CreatePit2, ref pit), "make the interval timer");
        lock (_routing)
        {
            PublishRoutes();
        }
    }

    private void CaptureInterruptControllers()
    {
        for (uint i = 0; i < _powerOnChips.Length; i++)
        {
            _powerOnChips[i].Id = i;
            KvmCalls.Check(_vm.Control(KvmRequest.GetIrqChip, ref _powerOnChips[i]), "read an interrupt controller");
        }

        KvmCalls.Check(_vm.Control(KvmRequest.GetPit2, ref _powerOnPit), "read the interval timer");
    }

    /// <summary>
    /// Wires lines as a PC does: 0 to 15 to the PIC pair and to the I/O APIC's pins of the same number, save that the interval timer's
    /// line 0 goes to pin 2 (MADT describes this as an override) and that line 2 is the PIC pair's own cascade.
    /// </summary>
    private unsafe void PublishRoutes()
    {
        var routes = new List<KvmIrqRoute>(40 + _messageRoutes.Count);
        for (uint line = 0; line < 16; line++)
        {
            if (line != 2)
            {
                routes.Add(ChipRoute(line, line < 8 ? KvmIrqChip.PicMaster : KvmIrqChip.PicSlave, line & 7));
            }
        }

        for (uint line = 0; line < IoApicPins; line++)
        {
            if (line != 2)
            {
                routes.Add(ChipRoute(line, KvmIrqChip.IoApic, line == 0 ? 2 : line));
            }
        }

        routes.AddRange(_messageRoutes.Values);

        // struct kvm_irq_routing: the count, flags, then the entries.
        byte[] table = new byte[8 + routes.Count * sizeof(KvmIrqRoute)];
        MemoryMarshal.Write(table, routes.Count);
        MemoryMarshal.Cast<KvmIrqRoute, byte>(CollectionsMarshal.AsSpan(routes)).CopyTo(table.AsSpan(8));

        // SAFETY: the table holds as many entries as its first word says.
        fixed (byte* pointer = table)
        {
            KvmCalls.Check(_vm.Control(KvmRequest.SetGsiRouting, (nint)pointer), "set the interrupt routing");
        }
    }

    private static KvmIrqRoute ChipRoute(uint line, uint chip, uint pin) =>
        new() { Gsi = line, Type = KvmIrqRoute.TypeIrqChip, Chip = chip, Pin = pin };
}
