using System.Buffers.Binary;

namespace Hypervisor.Engine.Devices.Virtio;

// Free page hints (virtio 1.2, 5.5.6.5): the device gives a command a number, the driver allocates what is free, names it after that number, and
// keeps it until it is told that the device is done. It may use the pages earlier all the same, so a hint is no promise: see
// GuestMemory.ReleaseHinted for what is done with it.
public sealed partial class VirtioBalloon
{
    private const int HintQueue = 3;

    // Linux names 4 MB at a time, and may have cleared them: how much it has ahead of the device is memory that the host has to have.
    private const ushort HintQueueSize = 32;

    private const uint CommandStop = 0, CommandDone = 1, FirstCommand = 2;

    // A driver that is not done by then has the rest of its memory back all the same.
    private const long HintPatience = 10_000_000_000;

    private readonly IMachineTimer _hintTimer;
    private readonly byte[] _hintNumber = new byte[sizeof(uint)];
    private uint _lastCommand = CommandDone;
    private uint _command;
    private uint _announced;
    private long _hintDeadline;
    private long _hintedBytes;
    private bool _hintsWanted;

    /// <summary>
    /// The driver can be asked for hints, and they would be of use: pages can be watched, it does not report free pages by itself, and does
    /// not expect to find anything in them but zeroes.
    /// </summary>
    public bool CanHint => IsDriverRunning && Memory.Pages is not null && HasFeature(FeatureHinting) && !HasFeature(FeatureReporting) && CanEmptyFreePages;

    /// <summary>The driver is asked at this moment.</summary>
    public bool IsHinting => Volatile.Read(ref _hintsWanted) || Volatile.Read(ref _command) >= FirstCommand;

    /// <summary>Bytes of host memory released because of hints, since power-on; they are in <see cref="ReleasedBytes"/> too.</summary>
    public long HintedBytes => Interlocked.Read(ref _hintedBytes);

    /// <summary>
    /// Asks the driver which pages are free, and releases what nobody used since <see cref="Memory.GuestPages.BeginHinting"/>, which is called
    /// before. Does nothing while it is asked already, or where <see cref="CanHint"/> is false. From any thread; does not wait.
    /// </summary>
    public void RequestHints()
    {
        if (CanHint)
        {
            Volatile.Write(ref _hintsWanted, true);
            Wake();
        }
    }

    private void SeeToHints()
    {
        bool wanted = Volatile.Read(ref _hintsWanted);
        if (_command >= FirstCommand)
        {
            if (_clock.Now >= _hintDeadline)
            {
                EndHints();
            }
        }
        else if (wanted && CanHint)
        {
            // No number comes again while anybody remembers it, a driver that was hibernated among them.
            _lastCommand = Math.Max(FirstCommand, unchecked(_lastCommand + 1));
            _announced = CommandStop;
            _hintDeadline = _clock.Now + HintPatience;
            _hintTimer.Arm(_hintDeadline);
            SetCommand(_lastCommand);
        }

        if (wanted)
        {
            Volatile.Write(ref _hintsWanted, false);
        }
    }

    // Numbers and pages come in buffers of their own, but however they are split the number holds for the pages after it (2.7.4).
    private void TakeHint()
    {
        if (_chain.ReadableBytes > 0)
        {
            uint number = ReadHintNumber();
            if (number == CommandStop && _command >= FirstCommand && _announced == _command)
            {
                EndHints();
            }

            _announced = number;
        }

        if (_command >= FirstCommand && _announced == _command && CanEmptyFreePages)
        {
            long before = _releasedBytes;
            AddWritable(hinted: true);
            ReleaseRanges(hinted: true);
            Interlocked.Add(ref _hintedBytes, _releasedBytes - before);
        }
    }

    // What is no number is one that no command has.
    private uint ReadHintNumber()
    {
        int bytes = 0;
        foreach (ref readonly var segment in _chain.Readable)
        {
            if (segment.Length > (uint)(_hintNumber.Length - bytes) || !Memory.TryRead(segment.GuestAddress, _hintNumber.AsSpan(bytes, (int)segment.Length)))
            {
                return CommandDone;
            }

            bytes += (int)segment.Length;
        }

        return bytes == _hintNumber.Length ? BinaryPrimitives.ReadUInt32LittleEndian(_hintNumber) : CommandDone;
    }

    // Nothing that was hinted is released from here on (5.5.6.5.2).
    private void EndHints()
    {
        _hintTimer.Disarm();
        SetCommand(CommandDone);
    }

    private void SetCommand(uint command)
    {
        Volatile.Write(ref _command, command);
        StoreConfig(ConfigHintCommand, command);
        SignalConfigurationChange();
    }

    private void ForgetHints()
    {
        _hintTimer.Disarm();
        Volatile.Write(ref _hintsWanted, false);
        Volatile.Write(ref _command, CommandStop);
        StoreConfig(ConfigHintCommand, CommandStop);
    }
}
