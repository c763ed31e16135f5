using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// A device whose requests are handled one after another by a single worker, under <see cref="Sync"/>. Host-side events (input, a
/// received packet) take the same lock, or call <see cref="Wake"/>.
/// </summary>
public abstract class VirtioWorkerDevice : VirtioDevice
{
    /// <summary>Requests a pass may take from a queue before it lets others run: bounds how long a reset waits.</summary>
    protected const int PassBudget = 256;

    private readonly DeviceWorker _worker;
    private bool _running;

    /// <inheritdoc cref="VirtioDevice(VirtioDeviceType, string, GuestMemory, int, ReadOnlySpan{ushort})"/>
    /// <param name="dedicatedThread">A thread of its own instead of the thread pool.</param>
#pragma warning disable CS1573 // The other parameters are documented by the base constructor.
    protected VirtioWorkerDevice(
        VirtioDeviceType type, string name, GuestMemory memory, int configBytes, bool dedicatedThread, params ReadOnlySpan<ushort> queueSizes)
        : base(type, name, memory, configBytes, queueSizes)
    {
        _worker = new DeviceWorker("virtio " + name, Work, () => Failed, dedicatedThread);
    }
#pragma warning restore CS1573

    /// <summary>Guards the queues and the device's state.</summary>
    protected Lock Sync { get; } = new();

    /// <summary>The driver is running and the queues may be used. Read under <see cref="Sync"/>.</summary>
    protected bool IsRunning => _running;

    /// <inheritdoc/>
    public sealed override void Notify(int queue) => _worker.Wake();

    /// <summary>Makes a pass of <see cref="Process"/> begin. From any thread, also under <see cref="Sync"/>.</summary>
    protected void Wake() => _worker.Wake();

    /// <summary>One pass over the queues, under <see cref="Sync"/>, at most <see cref="PassBudget"/> requests a queue; calls <see cref="Wake"/> when there is more.</summary>
    protected abstract void Process();

    /// <summary>The driver is there, under <see cref="Sync"/>.</summary>
    protected virtual void OnStarted()
    {
    }

    /// <summary>The driver reset the device, under <see cref="Sync"/>: forget requests that were held.</summary>
    protected virtual void OnStopped()
    {
    }

    /// <inheritdoc/>
    protected sealed override void Start()
    {
        lock (Sync)
        {
            _running = true;
            OnStarted();
        }

        _worker.Wake();
    }

    /// <inheritdoc/>
    protected sealed override bool Stop()
    {
        lock (Sync)
        {
            _running = false;
            OnStopped();
        }

        return true;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _worker.Dispose();
        base.Dispose(disposing);
    }

    private void Work()
    {
        lock (Sync)
        {
            if (_running)
            {
                Process();
            }
        }
    }
}
