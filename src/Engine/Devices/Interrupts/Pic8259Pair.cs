using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Devices.Interrupts;

/// <summary>
/// The two cascaded 8259A of a PC: ports 20h, A0h and the edge/level registers 4D0h. Its INTR output goes to LINT0 of
/// processor 0, which fetches the vector with <see cref="Acknowledge"/>.
/// </summary>
public sealed class Pic8259Pair : IExternalInterruptSource, IResettable
{
    private const ushort MasterPort = 0x20, SlavePort = 0xA0, EdgeLevelPort = 0x4D0;
    private const int CascadeInput = 2, SpuriousInput = 7;

    private readonly Lock _lock = new();
    // IRQ 0, 1, 2, 8 and 13 are edge-triggered by their nature (ELCR of Intel's PIIX and ICH).
    private readonly Pic8259 _master = new(master: true, levelCapable: 0xF8);
    private readonly Pic8259 _slave = new(master: false, levelCapable: 0xDE);
    private readonly Action<bool> _output;
    private bool _outputLevel;

    /// <summary>Makes the pair.</summary>
    /// <param name="output">Takes the level of INTR; called with the pair's lock held: must not block or call back.</param>
    public Pic8259Pair(Action<bool> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        _output = output;
    }

    /// <summary>Puts the registers on their ports.</summary>
    public void Map(MachineBus bus)
    {
        ArgumentNullException.ThrowIfNull(bus);
        bus.MapPorts(MasterPort, 2, new ChipPorts(this, _master));
        bus.MapPorts(SlavePort, 2, new ChipPorts(this, _slave));
        bus.MapPorts(EdgeLevelPort, 2, new EdgeLevelPorts(this));
    }

    /// <summary>Sets the level of an ISA interrupt request. Thread-safe.</summary>
    /// <param name="irq">0 to 15, without 2.</param>
    /// <param name="asserted">The level.</param>
    public void SetLine(int irq, bool asserted)
    {
        lock (_lock)
        {
            (irq < 8 ? _master : _slave).SetLine(irq & 7, asserted);
            Update();
        }
    }

    /// <inheritdoc/>
    public byte Acknowledge()
    {
        lock (_lock)
        {
            byte vector;
            int input = _master.Pending;
            if (input < 0)
            {
                // The request went away between INTR and INTA: the chip answers with its lowest input, not in service.
                vector = _master.VectorOf(SpuriousInput);
            }
            else
            {
                _master.Acknowledge(input);
                vector = _master.VectorOf(input);
                if (input == CascadeInput)
                {
                    int slaveInput = _slave.Pending;
                    if (slaveInput >= 0)
                    {
                        _slave.Acknowledge(slaveInput);
                    }

                    vector = _slave.VectorOf(slaveInput >= 0 ? slaveInput : SpuriousInput);
                }
            }

            Update();
            return vector;
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_lock)
        {
            _master.Reset();
            _slave.Reset();
            Update();
        }
    }

    private void Update()
    {
        _master.SetCascade(_slave.Pending >= 0);
        bool level = _master.Pending >= 0;
        if (level != _outputLevel)
        {
            _outputLevel = level;
            _output(level);
        }
    }

    private sealed class ChipPorts(Pic8259Pair pair, Pic8259 chip) : IPortDevice
    {
        public uint ReadPort(ushort offset, int size)
        {
            lock (pair._lock)
            {
                uint value = 0;
                for (int i = 0; i < size; i++)
                {
                    value |= (uint)(offset + i < 2 ? chip.Read(offset + i) : 0xFF) << (8 * i);
                }

                pair.Update();
                return value;
            }
        }

        public void WritePort(ushort offset, int size, uint value)
        {
            lock (pair._lock)
            {
                for (int i = 0; i < size && offset + i < 2; i++)
                {
                    chip.Write(offset + i, (byte)(value >> (8 * i)));
                }

                pair.Update();
            }
        }
    }

    private sealed class EdgeLevelPorts(Pic8259Pair pair) : IPortDevice
    {
        public uint ReadPort(ushort offset, int size)
        {
            lock (pair._lock)
            {
                uint both = pair._master.EdgeLevelControl | ((uint)pair._slave.EdgeLevelControl << 8) | 0xFFFF_0000;
                return (both >> (8 * offset)) & (size == 4 ? uint.MaxValue : (1u << (8 * size)) - 1);
            }
        }

        public void WritePort(ushort offset, int size, uint value)
        {
            lock (pair._lock)
            {
                for (int i = 0; i < size && offset + i < 2; i++)
                {
                    (offset + i == 0 ? pair._master : pair._slave).SetEdgeLevelControl((byte)(value >> (8 * i)));
                }

                pair.Update();
            }
        }
    }
}
