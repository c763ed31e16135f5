using System.Security.Cryptography;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// An entropy source (virtio 1.2, 5.4) fed by the host's random number generator. What a guest may take a second is bounded, so that
/// it cannot keep a host processor busy with it.
/// </summary>
public sealed class VirtioEntropy : VirtioWorkerDevice
{
    /// <summary>Bytes a second unless told otherwise: far more than any kernel asks for.</summary>
    public const int DefaultBytesPerSecond = 1 << 20;

    private const int MaxRequest = 1 << 16;
    private const long Second = 1_000_000_000;

    private readonly DescriptorChain _chain = new();
    private readonly IMachineClock _clock;
    private readonly IMachineTimer _timer;
    private readonly int _bytesPerSecond;
    private long _windowStart;
    private int _left;

    /// <summary>Makes an entropy source.</summary>
    /// <param name="memory">The machine's memory.</param>
    /// <param name="clock">Time for the bound.</param>
    /// <param name="bytesPerSecond">The bound, at least 65536.</param>
    public VirtioEntropy(GuestMemory memory, IMachineClock clock, int bytesPerSecond = DefaultBytesPerSecond)
        : base(VirtioDeviceType.Entropy, "entropy source", memory, configBytes: 0, dedicatedThread: false, 64)
    {
        ArgumentNullException.ThrowIfNull(clock);
        ArgumentOutOfRangeException.ThrowIfLessThan(bytesPerSecond, MaxRequest);
        (_clock, _bytesPerSecond, _left) = (clock, bytesPerSecond, bytesPerSecond);
        _timer = clock.CreateTimer(Wake);
    }

    /// <inheritdoc/>
    protected override ulong DeviceFeatures => 0;

    /// <inheritdoc/>
    protected override void Process()
    {
        var queue = Queues[0];
        do
        {
            for (int i = 0; i < PassBudget; i++)
            {
                if (!TakeAllowance())
                {
                    PublishAndSignal(queue);
                    return;
                }

                if (!TryPop(queue, _chain))
                {
                    break;
                }

                queue.Push(_chain, Fill());
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

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _timer.Dispose();
        base.Dispose(disposing);
    }

    // A request may be answered short (5.4.6.1), so a huge one costs no more than others.
    private uint Fill()
    {
        uint done = 0;
        foreach (ref readonly var segment in _chain.Writable)
        {
            int count = (int)Math.Min(segment.Length, (uint)MaxRequest - done);
            if (count == 0)
            {
                break;
            }

            RandomNumberGenerator.Fill(segment.Slice(0, count));
            done += (uint)count;
        }

        _chain.NotifyWritten(Memory, done);
        _left -= (int)done;
        return done;
    }

    private bool TakeAllowance()
    {
        long now = _clock.Now;
        if (now - _windowStart >= Second)
        {
            (_windowStart, _left) = (now, _bytesPerSecond);
        }

        if (_left > 0)
        {
            return true;
        }

        _timer.Arm(_windowStart + Second);
        return false;
    }
}
