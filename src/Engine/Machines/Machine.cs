using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Engine.Devices.Platform;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Machines;

/// <summary>
/// A powered-on machine. Devices, processors and callers only ask for a reset or an end; a supervisor thread of the machine carries it
/// out, while all processors stand still.
/// </summary>
internal sealed class Machine : IMachine, IMachineControl
{
    /// <summary>A processor that does not stand still by then hangs in its backend.</summary>
    private static readonly TimeSpan PauseTimeout = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan VisitTimeout = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly MachineHardware _hardware;
    private readonly VirtualProcessorThread[] _processors;
    private readonly MachineSchedule? _schedule;
    private readonly Thread _supervisor;
    private readonly AutoResetEvent _wake = new(false);
    private readonly TaskCompletionSource<MachineStop> _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CrashLoopDetector _crashes = new();
    private readonly ResetReports _resets = new();
    private MachineStop? _stopRequest;
    private string? _resetRequest;
    private bool _resetAfterCrash;
    private bool _started;
    private bool _ended;

    /// <summary>Assembles a machine and loads its guest.</summary>
    /// <exception cref="MachineException">It cannot be run here.</exception>
    public Machine(VirtualMachineConfiguration configuration, IPartitionFactory backend, StorageIoControl storageIo, CpuScheduler? scheduler = null, MemoryManager? memory = null)
    {
        Configuration = configuration;
        _hardware = new MachineHardware(configuration, backend, storageIo, memory, this, Raise);
        try
        {
            Backend = _hardware.Partition.Backend;
            _hardware.PowerOnState();
            _schedule = scheduler?.Add(configuration.Id, configuration.Name, configuration.NumCpu, MachineResources.PlanOf(configuration));
            _processors = [.. _hardware.Partition.Processors.Select(processor =>
                new VirtualProcessorThread(processor, configuration.Name, OnProcessorStopped, OnProcessorFailed, _schedule, Backend != BackendKind.Software))];
            Console.InputHandler = Receive;
            _supervisor = new Thread(Supervise) { IsBackground = true, Name = $"machine {configuration.Name}" };
        }
        catch
        {
            _schedule?.Dispose();
            _hardware.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public event Action<MachineEvent>? EventRaised;

    /// <inheritdoc/>
    public VirtualMachineConfiguration Configuration { get; }

    /// <inheritdoc/>
    public BackendKind Backend { get; }

    /// <inheritdoc/>
    public MachineConsole Console => _hardware.Console;

    /// <summary>What firmware reports on its debug port; null without firmware.</summary>
    public MachineConsole? FirmwareLog => _hardware.FirmwareLog;

    /// <inheritdoc/>
    public Task<MachineStop> Stopped => _stopped.Task;

    /// <inheritdoc/>
    public IReadOnlyList<PortForward> PortForwards => _hardware.PortForwards;

    /// <inheritdoc/>
    public void Start()
    {
        lock (_lock)
        {
            if (_started || _ended)
            {
                throw new InvalidOperationException("A machine is started once.");
            }

            _started = true;
            _crashes.NoteBoot(_hardware.Clock.Now, afterCrash: false);
            _hardware.Clock.Resume();
            _supervisor.Start();
            foreach (var processor in _processors)
            {
                processor.Start();
                processor.Resume();
            }
        }
    }

    /// <inheritdoc/>
    public void PressPowerButton()
    {
        lock (_lock)
        {
            if (!_ended)
            {
                _hardware.PowerManagement.PressPowerButton();
            }
        }
    }

    /// <inheritdoc/>
    public void Reset() => RequestReset("the user");

    /// <inheritdoc/>
    public IReadOnlyList<VirtualProcessorCounters> GetProcessorCounters() =>
        [.. _processors.Select(thread => thread.Processor.GetCounters()).OfType<VirtualProcessorCounters>().Select(counters => counters with { VMName = Configuration.Name })];

    /// <inheritdoc/>
    public IReadOnlyList<NetworkPortSample> GetNetworkPorts() => _hardware.SampleNetworkPorts();

    /// <inheritdoc/>
    public IReadOnlyList<InterruptSourceSample> GetInterruptSources() => _hardware.SampleInterrupts();

    /// <inheritdoc/>
    public IReadOnlyList<GuestTranslationLine>? DescribeTranslation(int processor, ulong? address)
    {
        VirtualProcessorThread thread = _processors[processor];
        if (thread.Processor.GetCounters() is null)
        {
            return null;
        }

        IReadOnlyList<GuestTranslationLine>? lines = null;
        Task visit;
        lock (_lock)
        {
            // Nothing is taken apart while this is held and the machine has not ended.
            if (!_started || _ended)
            {
                throw new PowerStateException($"'{Configuration.Name}' is powered off.");
            }

            visit = thread.Visit(visited => lines = visited.DescribeTranslation(address));
        }

        if (Task.WaitAny([visit], VisitTimeout) < 0)
        {
            throw new TimeoutException(
                $"Virtual processor {processor} of '{Configuration.Name}' did not come to a stop within {VisitTimeout.TotalSeconds:0} seconds: the machine is being reset, or paused. It must run for this.");
        }

        if (visit.IsCanceled)
        {
            throw new PowerStateException($"'{Configuration.Name}' was powered off meanwhile.");
        }

        visit.GetAwaiter().GetResult();
        return lines;
    }

    /// <inheritdoc/>
    public void PowerOff()
    {
        RequestStop(new MachineStop(MachineStopReason.PoweredOff, "The machine was powered off."));
        if (Thread.CurrentThread != _supervisor)
        {
            _stopped.Task.Wait();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => PowerOff();

    /// <inheritdoc/>
    public void RequestPowerOff() => RequestStop(new MachineStop(MachineStopReason.GuestShutdown, "The guest shut down."));

    /// <inheritdoc/>
    public void RequestDebugExit(int code) =>
        RequestStop(new MachineStop(MachineStopReason.DebugExit, $"The guest ended the machine through the debug-exit port with code {code}.", code));

    /// <inheritdoc/>
    public void ReportFailure(string device, Exception error) =>
        RequestStop(new MachineStop(MachineStopReason.HostFailure, $"The {device} failed: {error.Message} ({error.GetType().Name})"));

    /// <inheritdoc/>
    public void RequestReset(string source) => RequestReset(source, afterCrash: false);

    private int Receive(ReadOnlyMemory<byte> bytes)
    {
        lock (_lock)
        {
            return _ended ? bytes.Length : _hardware.SendInput(bytes);
        }
    }

    private void RequestReset(string source, bool afterCrash)
    {
        lock (_lock)
        {
            if (!_started || _ended || _resetRequest is not null)
            {
                return;
            }

            _resetRequest = source;
            _resetAfterCrash = afterCrash;
            Interrupt();
        }
    }

    private void RequestStop(MachineStop stop)
    {
        lock (_lock)
        {
            if (_ended || _stopRequest is not null)
            {
                return;
            }

            _stopRequest = stop;
            if (_started)
            {
                // A reset under way may wait for a page.
                Interrupt();
                _hardware.Abandon(true);
                return;
            }

            _ended = true;
        }

        // It never ran: there is no supervisor to do this.
        TakeApart(stop, processorsEnded: true);
    }

    private void Interrupt()
    {
        foreach (var processor in _processors)
        {
            processor.RequestPause();
        }

        _wake.Set();
    }

    private void Supervise()
    {
        MachineStop? stop = null;
        while (stop is null)
        {
            _wake.WaitOne();
            try
            {
                stop = HandleRequests();
            }
            catch (Exception error)
            {
                // A defect in a device's reset, or a boot image that cannot be loaded again: this machine ends, others go on.
                // If somebody stops it at the same time, its memory is not to be had any more, and that is no failure.
                lock (_lock)
                {
                    stop = _stopRequest ?? new MachineStop(MachineStopReason.HostFailure, $"The machine could not be reset: {error.Message}");
                }
            }
        }

        bool ended = true;
        foreach (var processor in _processors)
        {
            processor.RequestPause();
        }

        _hardware.Abandon(true);
        foreach (var processor in _processors)
        {
            ended &= processor.End(PauseTimeout);
        }

        lock (_lock)
        {
            _ended = true;
        }

        TakeApart(stop, ended);
    }

    /// <summary>Carries out what was asked for; returns why the machine ends, or null when it goes on.</summary>
    private MachineStop? HandleRequests()
    {
        string? reset;
        bool afterCrash;
        lock (_lock)
        {
            if (_stopRequest is not null)
            {
                return _stopRequest;
            }

            reset = _resetRequest;
            afterCrash = _resetAfterCrash;
        }

        if (reset is null)
        {
            return null;
        }

        if (!PauseProcessors())
        {
            return new MachineStop(MachineStopReason.HostFailure, "A virtual processor hangs in its backend and cannot be reset.");
        }

        _hardware.FlushOutput();
        _hardware.ResetAll();
        lock (_lock)
        {
            // A device that waited for a page was told not to, until it was reset. Whoever stops the machine tells it again, for good.
            if (_stopRequest is not null)
            {
                return _stopRequest;
            }

            _hardware.Abandon(false);
        }

        _hardware.LoadBootImage();
        _crashes.NoteBoot(_hardware.Clock.Now, afterCrash);
        lock (_lock)
        {
            // Requests made while the old guest was being stopped are part of the reset. A stop that came meanwhile is not.
            _resetRequest = null;
            if (_stopRequest is not null)
            {
                return _stopRequest;
            }

            foreach (var processor in _processors)
            {
                processor.Resume();
            }
        }

        // Told when it is done: whoever asks again from here on gets another.
        if (_resets.Note(Environment.TickCount64, reset) is { } told)
        {
            Raise(new MachineEvent(MachineEventSeverity.Info, told));
        }

        return null;
    }

    private bool PauseProcessors()
    {
        bool paused = true;
        foreach (var processor in _processors)
        {
            processor.RequestPause();
        }

        _hardware.Abandon(true);
        foreach (var processor in _processors)
        {
            paused &= processor.WaitUntilPaused(PauseTimeout);
        }

        return paused;
    }

    private void OnProcessorStopped(VirtualProcessorThread thread, VpExit exit)
    {
        string place = $"virtual processor {thread.Processor.Index} at {thread.Processor.GetGeneralRegisters().Rip:x}h";
        if (exit.Reason == VpExitReason.Shutdown)
        {
            OnTripleFault(place);
            return;
        }

        if (thread.Processor.Failure is { } failure)
        {
            OnProcessorFailed(thread, failure);
            return;
        }

        // The upper 16 bits hold an error of the host; without one it is the guest's code that the backend cannot run.
        bool hostError = exit.Detail >> 48 != 0;
        RequestStop(hostError
            ? new MachineStop(MachineStopReason.HostFailure, $"The backend {Backend} failed to run {place} (detail {exit.Detail:x}h).")
            : new MachineStop(MachineStopReason.GuestCrash, $"The guest did something that the backend {Backend} cannot run, on {place} (detail {exit.Detail:x}h)."));
    }

    private void OnTripleFault(string place)
    {
        bool giveUp;
        lock (_lock)
        {
            giveUp = _crashes.NoteCrash(_hardware.Clock.Now);
        }

        if (!_hardware.ResetOnTripleFault)
        {
            RequestStop(new MachineStop(MachineStopReason.GuestCrash, $"The guest crashed: triple fault on {place}."));
        }
        else if (giveUp)
        {
            RequestStop(new MachineStop(MachineStopReason.GuestCrash, $"The guest crashed {CrashLoopDetector.Limit} times in a row while booting: triple fault on {place}."));
        }
        else
        {
            Raise(new MachineEvent(MachineEventSeverity.Warning, $"Triple fault on {place}."));
            RequestReset("a triple fault", afterCrash: true);
        }
    }

    private void OnProcessorFailed(VirtualProcessorThread thread, Exception error) =>
        RequestStop(new MachineStop(
            MachineStopReason.HostFailure, $"Virtual processor {thread.Processor.Index} ended with an error of the backend {Backend}: {error.Message} ({error.GetType().Name})"));

    private void TakeApart(MachineStop stop, bool processorsEnded)
    {
        _schedule?.Dispose();
        try
        {
            _hardware.FlushOutput();
            if (processorsEnded)
            {
                _hardware.Dispose();
            }
            else
            {
                // Freeing memory that a processor may still use would take the process down; it is left behind instead.
                Raise(new MachineEvent(MachineEventSeverity.Error, "A virtual processor did not stop; the machine's memory is kept until the process ends."));
            }
        }
        catch (Exception error)
        {
            Raise(new MachineEvent(MachineEventSeverity.Error, $"Closing the machine's devices failed: {error.Message}"));
        }

        Console.Complete();
        FirmwareLog?.Complete();
        _stopped.TrySetResult(stop);
    }

    // A listener's failure is its own; it must not stop a processor or the supervisor.
    private void Raise(MachineEvent happened)
    {
        foreach (var listener in EventRaised?.GetInvocationList() ?? [])
        {
            try
            {
                ((Action<MachineEvent>)listener)(happened);
            }
            catch (Exception error)
            {
                System.Diagnostics.Trace.TraceError($"A listener of machine '{Configuration.Name}' failed: {error}");
            }
        }
    }
}
