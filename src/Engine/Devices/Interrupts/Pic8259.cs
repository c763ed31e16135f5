using System.Numerics;

namespace Hypervisor.Engine.Devices.Interrupts;

/// <summary>
/// One 8259A (Intel 231468): eight inputs, priorities, masks. Not thread-safe: <see cref="Pic8259Pair"/> has the lock. Level
/// triggering follows the ELCR of PC chip sets rather than the LTIM bit of ICW1.
/// </summary>
internal sealed class Pic8259(bool master, byte levelCapable)
{
    private const int CascadeInput = 2;
    private const int None = -1;

    private enum Expecting
    {
        Operation,
        Icw2,
        Icw3,
        Icw4,
    }

    private byte _lines;
    private byte _requests;
    private byte _inService;
    private byte _mask;
    private byte _vectorBase;
    private int _highest;
    private Expecting _expecting;
    private bool _single;
    private bool _needsIcw4;
    private bool _autoEoi;
    private bool _rotateOnAutoEoi;
    private bool _specialMask;
    private bool _speciallyNested;
    private bool _readInService;
    private bool _poll;

    /// <summary>Which inputs are level-triggered, one bit each.</summary>
    public byte EdgeLevelControl { get; private set; }

    /// <summary>The input whose request would go to the processor now, or -1.</summary>
    public int Pending
    {
        get
        {
            int request = HighestOf((byte)(_requests & ~_mask));
            if (request == None)
            {
                return None;
            }

            int blocking = _inService;
            if (_specialMask)
            {
                blocking &= ~_mask;
            }

            if (_speciallyNested && master)
            {
                blocking &= ~(1 << CascadeInput);
            }

            int serving = HighestOf((byte)blocking);
            return serving == None || PriorityOf(request) < PriorityOf(serving) ? request : None;
        }
    }

    /// <summary>Power-on state, except for the levels of the inputs, which are others' state.</summary>
    public void Reset()
    {
        Initialize(0);
        _expecting = Expecting.Operation;
        _vectorBase = 0;
        _rotateOnAutoEoi = false;
        EdgeLevelControl = 0;
        _requests = 0;
    }

    /// <summary>Sets an input's level.</summary>
    public void SetLine(int input, bool asserted)
    {
        byte bit = (byte)(1 << input);
        bool level = (EdgeLevelControl & bit) != 0;
        if (asserted)
        {
            if (level || (_lines & bit) == 0)
            {
                _requests |= bit;
            }

            _lines |= bit;
        }
        else
        {
            // An edge stays latched though the line falls: lines here are often pulsed faster than a guest can look.
            if (level)
            {
                _requests &= (byte)~bit;
            }

            _lines &= (byte)~bit;
        }
    }

    /// <summary>The cascade input follows the other chip's INT output exactly, or a request withdrawn there would be spurious here.</summary>
    public void SetCascade(bool asserted) =>
        _requests = (byte)(asserted ? _requests | (1 << CascadeInput) : _requests & ~(1 << CascadeInput));

    /// <summary>Chooses triggering of each input.</summary>
    public void SetEdgeLevelControl(byte value)
    {
        EdgeLevelControl = (byte)(value & levelCapable);
        _requests = (byte)((_requests & ~EdgeLevelControl) | (_lines & EdgeLevelControl));
    }

    /// <summary>The INTA cycle of one chip: marks the input in service.</summary>
    public void Acknowledge(int input)
    {
        byte bit = (byte)(1 << input);
        if (_autoEoi)
        {
            if (_rotateOnAutoEoi)
            {
                _highest = (input + 1) & 7;
            }
        }
        else
        {
            _inService |= bit;
        }

        if ((EdgeLevelControl & bit) == 0)
        {
            _requests &= (byte)~bit;
        }
    }

    /// <summary>The vector of an input.</summary>
    public byte VectorOf(int input) => (byte)(_vectorBase | input);

    /// <summary>Reads A0 = 0 or 1.</summary>
    public byte Read(int register)
    {
        if (_poll)
        {
            // The poll command turns the next read into an INTA (231468, "Poll Command").
            _poll = false;
            int input = Pending;
            if (input == None)
            {
                return 0;
            }

            Acknowledge(input);
            return (byte)(0x80 | input);
        }

        return register == 1 ? _mask : _readInService ? _inService : _requests;
    }

    /// <summary>Writes A0 = 0 or 1.</summary>
    public void Write(int register, byte value)
    {
        if (register == 1)
        {
            WriteData(value);
        }
        else if ((value & 0x10) != 0)
        {
            Initialize(value);
        }
        else if ((value & 0x08) != 0)
        {
            WriteOcw3(value);
        }
        else
        {
            WriteOcw2(value);
        }
    }

    private void Initialize(byte icw1)
    {
        _requests = (byte)(_lines & EdgeLevelControl);
        _inService = 0;
        _mask = 0;
        _highest = 0;
        _autoEoi = _specialMask = _speciallyNested = _readInService = _poll = false;
        _needsIcw4 = (icw1 & 1) != 0;
        _single = (icw1 & 2) != 0;
        _expecting = Expecting.Icw2;
    }

    private void WriteData(byte value)
    {
        switch (_expecting)
        {
            case Expecting.Icw2:
                _vectorBase = (byte)(value & 0xF8);
                _expecting = !_single ? Expecting.Icw3 : _needsIcw4 ? Expecting.Icw4 : Expecting.Operation;
                break;
            case Expecting.Icw3:
                // How the chips are cascaded is wired on a PC.
                _expecting = _needsIcw4 ? Expecting.Icw4 : Expecting.Operation;
                break;
            case Expecting.Icw4:
                _speciallyNested = (value & 0x10) != 0;
                _autoEoi = (value & 0x02) != 0;
                _expecting = Expecting.Operation;
                break;
            default:
                _mask = value;
                break;
        }
    }

    private void WriteOcw2(byte value)
    {
        int level = value & 7;
        switch (value >> 5)
        {
            case 0:
            case 4:
                _rotateOnAutoEoi = (value & 0x80) != 0;
                break;
            case 1:
            case 5:
                // In special mask mode an input that is masked is not what a non-specific EOI means.
                int serving = HighestOf((byte)(_specialMask ? _inService & ~_mask : _inService));
                if (serving != None)
                {
                    _inService &= (byte)~(1 << serving);
                    if ((value & 0x80) != 0)
                    {
                        _highest = (serving + 1) & 7;
                    }
                }

                break;
            case 3:
            case 7:
                _inService &= (byte)~(1 << level);
                if ((value & 0x80) != 0)
                {
                    _highest = (level + 1) & 7;
                }

                break;
            case 6:
                _highest = (level + 1) & 7;
                break;
        }
    }

    private void WriteOcw3(byte value)
    {
        _poll = (value & 0x04) != 0;
        if ((value & 0x02) != 0)
        {
            _readInService = (value & 0x01) != 0;
        }

        if ((value & 0x40) != 0)
        {
            _specialMask = (value & 0x20) != 0;
        }
    }

    private int PriorityOf(int input) => (input - _highest) & 7;

    private int HighestOf(byte inputs)
    {
        if (inputs == 0)
        {
            return None;
        }

        int rotated = ((inputs >> _highest) | (inputs << (8 - _highest))) & 0xFF;
        return (BitOperations.TrailingZeroCount(rotated) + _highest) & 7;
    }
}
