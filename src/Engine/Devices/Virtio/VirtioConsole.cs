using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>A console with one port (virtio 1.2, 5.3): <c>hvc0</c> in Linux. Output goes to a sink; input waits in a bounded buffer.</summary>
public sealed class VirtioConsole : VirtioWorkerDevice
{
    /// <summary>Bytes of input that wait for the guest at most.</summary>
    public const int InputCapacity = 16384;

    private const int ReceiveQueue = 0, TransmitQueue = 1;
    private const ulong FeatureSize = 1, FeatureEmergencyWrite = 1 << 2;
    private const int ConfigColumns = 0, ConfigRows = 2, ConfigEmergency = 8, ConfigBytes = 12;
    private const uint MaxRequestOutput = 65536;

    private readonly DescriptorChain _chain = new();
    private readonly byte[] _input = new byte[InputCapacity];
    private readonly IByteSink _output;
    private int _inputStart;
    private int _inputCount;
    private bool _inputRefused;

    /// <summary>Makes a console.</summary>
    public VirtioConsole(GuestMemory memory, IByteSink output)
        : base(VirtioDeviceType.Console, "console", memory, ConfigBytes, dedicatedThread: false, 64, 64)
    {
        ArgumentNullException.ThrowIfNull(output);
        _output = output;
        StoreConfig(ConfigColumns, (ushort)80);
        StoreConfig(ConfigRows, (ushort)25);
        StoreConfig(4, 1u); // max_nr_ports, for drivers that look without MULTIPORT.
    }

    /// <inheritdoc/>
    protected override ulong DeviceFeatures => FeatureSize | FeatureEmergencyWrite;

    /// <summary>
    /// Called when there is room again after <see cref="SendInput"/> took fewer bytes than it was given. Must be quick, and call nothing
    /// of this device.
    /// </summary>
    public Action? InputTaken { get; set; }

    /// <summary>Queues input for the guest. Returns how many bytes were taken: fewer when the buffer is full.</summary>
    public int SendInput(ReadOnlySpan<byte> bytes)
    {
        lock (Sync)
        {
            int count = Math.Min(bytes.Length, InputCapacity - _inputCount);
            for (int i = 0; i < count; i++)
            {
                _input[(_inputStart + _inputCount++) % InputCapacity] = bytes[i];
            }

            _inputRefused |= count < bytes.Length;
            bytes = bytes[..count];
        }

        Wake();
        return bytes.Length;
    }

    /// <summary>Tells the guest the size of the terminal.</summary>
    public void Resize(ushort columns, ushort rows)
    {
        StoreConfig(ConfigColumns, columns | ((uint)rows << 16));
        SignalConfigurationChange();
    }

    /// <inheritdoc/>
    protected override void Process()
    {
        Transmit(Queues[TransmitQueue]);
        Receive(Queues[ReceiveQueue]);
        if (_inputRefused && _inputCount <= InputCapacity / 2)
        {
            _inputRefused = false;
            InputTaken?.Invoke();
        }
    }

    /// <inheritdoc/>
    protected override void OnConfigWritten(int offset, ReadOnlySpan<byte> source)
    {
        // emerg_wr: one character, also without a running driver (5.3.4).
        if (offset == ConfigEmergency && !source.IsEmpty)
        {
            _output.Write(source[..1]);
        }
    }

    private void Transmit(VirtQueue queue)
    {
        do
        {
            int budget = PassBudget;
            while (budget-- > 0 && TryPop(queue, _chain))
            {
                WriteOut();
                queue.Push(_chain, 0);
            }

            PublishAndSignal(queue);
            if (queue.Available > 0)
            {
                Wake();
                return;
            }
        }
        while (queue.EnableNotifications());
    }

    // A driver writes a page at most; the rest of an absurdly long request is dropped, so that a reset need not wait for it.
    private void WriteOut()
    {
        uint left = MaxRequestOutput;
        foreach (ref readonly var segment in _chain.Readable)
        {
            uint count = Math.Min(segment.Length, left);
            _output.Write(segment.Slice(0, (int)count));
            left -= count;
        }
    }

    private void Receive(VirtQueue queue)
    {
        do
        {
            int budget = PassBudget;
            while (_inputCount > 0 && budget-- > 0 && TryPop(queue, _chain))
            {
                int count = Math.Min(_inputCount, InputCapacity - _inputStart);
                int written = _chain.Write(Memory, 0, _input.AsSpan(_inputStart, count));
                queue.Push(_chain, (uint)written);
                _inputStart = (_inputStart + written) % InputCapacity;
                _inputCount -= written;
            }

            PublishAndSignal(queue);
            if (_inputCount == 0)
            {
                // Buffers that the driver adds now are wanted only when input comes.
                queue.DisableNotifications();
                return;
            }

            if (queue.Available > 0)
            {
                Wake();
                return;
            }
        }
        while (queue.EnableNotifications());
    }
}
