using System.Diagnostics;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

// Power operations. A machine that runs is in _running from just before its first instruction until its files are closed.
public sealed partial class HypervisorHost
{
    /// <summary>Powers a machine on. The task's result is its <see cref="VirtualMachine"/>.</summary>
    public VITask PowerOn(VirtualMachine target) =>
        Tasks.Run("PowerOnVM_Task", $"Power on virtual machine {target.Name}", target.Id, target.Name, (_, _) => Task.FromResult<object?>(PowerOnNow(target)));

    /// <summary>Powers a machine off at once, as pulling the plug would.</summary>
    public VITask PowerOff(VirtualMachine target) =>
        Tasks.Run("PowerOffVM_Task", $"Power off virtual machine {target.Name}", target.Id, target.Name, async (_, cancellation) =>
        {
            RunningMachine running = Running(target);
            running.Machine.PowerOff();
            await running.Ended.WaitAsync(cancellation).ConfigureAwait(false);
            return FindMachine(target.Id);
        });

    /// <summary>Presses a machine's ACPI power button and waits for the guest to power off.</summary>
    /// <param name="target">The machine.</param>
    /// <param name="timeout">How long the guest may take; then the task fails and the machine goes on.</param>
    public VITask Shutdown(VirtualMachine target, TimeSpan timeout) =>
        Tasks.Run("ShutdownGuest", $"Shut down the guest of {target.Name}", target.Id, target.Name, async (task, cancellation) =>
        {
            RunningMachine running = Running(target);
            running.Machine.PressPowerButton();
            long start = Stopwatch.GetTimestamp();
            while (!running.Ended.IsCompleted)
            {
                TimeSpan left = timeout - Stopwatch.GetElapsedTime(start);
                if (left <= TimeSpan.Zero)
                {
                    throw new TimeoutException(
                        $"'{target.Name}' did not power off within {timeout.TotalSeconds:0} seconds of the power button being pressed; it still runs. Stop-VM -Kill powers it off at once.");
                }

                task.Report((int)(100 - (100 * left / timeout)));
                await Task.WhenAny(running.Ended, Task.Delay(left < ReportInterval ? left : ReportInterval, cancellation)).ConfigureAwait(false);
                cancellation.ThrowIfCancellationRequested();
            }

            return FindMachine(target.Id);
        });

    /// <summary>Resets a machine as its reset line would.</summary>
    public VITask Reset(VirtualMachine target) =>
        Tasks.Run("ResetVM_Task", $"Reset virtual machine {target.Name}", target.Id, target.Name, (_, _) =>
        {
            RunningMachine running = Running(target);
            running.Machine.Reset();
            Record("VmResettingEvent", MachineEventSeverity.Info, running.Machine.Configuration, $"{target.Name} was reset");
            return Task.FromResult<object?>(FindMachine(target.Id));
        });

    /// <summary>Ends what runs here: presses all power buttons, waits, and powers off what is still on. Says what it does.</summary>
    /// <param name="grace">How long guests may take to shut down.</param>
    /// <param name="say">Takes a sentence for a person.</param>
    public void ShutDownAll(TimeSpan grace, Action<string> say)
    {
        RunningMachine[] machines = [.. _running.Values];
        if (machines.Length == 0)
        {
            return;
        }

        say($"{Counted(machines.Length)} still running here: {string.Join(", ", machines.Select(static m => m.Machine.Configuration.Name))}. Shutting down.");
        foreach (RunningMachine running in machines)
        {
            running.Machine.PressPowerButton();
        }

        Task.WaitAll([.. machines.Select(static running => running.Ended)], grace);
        foreach (RunningMachine running in machines.Where(static running => !running.Ended.IsCompleted))
        {
            say($"{running.Machine.Configuration.Name} did not shut down within {grace.TotalSeconds:0} seconds: powering it off.");
            running.Machine.PowerOff();
        }

        Task.WaitAll([.. machines.Select(static running => running.Ended)]);
    }

    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(500);

    private static string Counted(int count) => count == 1 ? "A machine is" : $"{count} machines are";

    private VirtualMachine PowerOnNow(VirtualMachine target)
    {
        if (_running.ContainsKey(target.Id))
        {
            throw new PowerStateException($"'{target.Name}' is powered on already.");
        }

        MachineHold hold = Hold(Get(target.Id, target.Name));
        VirtualMachineConfiguration machine;
        RunningMachine running;
        try
        {
            // Read after the machine is ours: nobody can change or remove it from here on.
            machine = Get(target.Id, target.Name);
            try
            {
                running = new RunningMachine(Build(machine), hold);
            }
            catch (Exception exception)
            {
                Record("VmFailedToPowerOnEvent", MachineEventSeverity.Error, machine, $"Cannot power on {machine.Name}: {exception.Message}");
                throw;
            }
        }
        catch
        {
            hold.Dispose();
            throw;
        }

        _running[machine.Id] = running;
        FollowResources();
        WatchResources();
        Statistics.Sampler.Watch();
        _consoles[machine.Id] = new ConsoleSession(running.Machine.Console);
        running.Machine.EventRaised += raised => Record("VmMessageEvent", raised.Severity, machine, $"{machine.Name}: {raised.Message}");
        Record("VmPoweredOnEvent", MachineEventSeverity.Info, machine, $"{machine.Name} on {Environment.MachineName} is powered on ({running.Machine.Backend})");
        _ = FinishWhenStoppedAsync(running, machine);
        try
        {
            running.Machine.Start();
        }
        catch
        {
            running.Machine.PowerOff();
            throw;
        }

        return View(machine);
    }

    // The note of a process that was killed is still there: what it did not live to say is said now.
    private MachineHold Hold(VirtualMachineConfiguration machine)
    {
        MachineHold hold = MachineHold.Take(Folder, machine.Id, machine.Name);
        if (hold.AbandonedBy is { } dead)
        {
            Record("VmHostFailureEvent", MachineEventSeverity.Error, machine, $"{machine.Name} was lost with {dead}, which ended without powering it off; its disks are as after a power failure");
        }

        return hold;
    }

    private IMachine Build(VirtualMachineConfiguration machine)
    {
        MachineRules.Check(machine, Services.PhysicalMemoryMB);
        MachineRules.CheckFiles(machine);
        RefuseDisksInUse(machine);
        AdmitForPowerOn(machine);
        return _factory.Value.Create(machine);
    }

    private void RefuseDisksInUse(VirtualMachineConfiguration machine)
    {
        if (machine.Disks.Count == 0)
        {
            return;
        }

        foreach (VirtualMachineConfiguration other in _store.Read().Machines.Where(other => other.Id != machine.Id && other.Disks.Count > 0))
        {
            foreach (HardDiskConfiguration disk in machine.Disks)
            {
                bool conflict = other.Disks.Any(theirs => MachineRules.PathComparer.Equals(RealPath(theirs.Path), RealPath(disk.Path)) && !(theirs.ReadOnly && disk.ReadOnly));
                if (conflict && View(other).PowerState == PowerState.PoweredOn)
                {
                    throw new MachineException($"The disk '{disk.Path}' is in use by '{other.Name}', which is powered on.");
                }
            }
        }
    }

    private static string RealPath(string path) => File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;

    private async Task FinishWhenStoppedAsync(RunningMachine running, VirtualMachineConfiguration machine)
    {
        // Elsewhere than on the thread that ended the machine: disposing joins the threads of its virtual processors.
        MachineStop stop = await running.Machine.Stopped.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            running.Dispose();
        }
        finally
        {
            running.Machine.Console.Complete();
            _running.TryRemove(machine.Id, out _);
            if (_running.IsEmpty)
            {
                Statistics.Sampler.MachineEnded();
            }

            (string type, MachineEventSeverity severity) = stop.Reason switch
            {
                MachineStopReason.GuestShutdown => ("VmGuestShutdownEvent", MachineEventSeverity.Info),
                MachineStopReason.GuestCrash => ("VmGuestCrashEvent", MachineEventSeverity.Error),
                MachineStopReason.HostFailure => ("VmHostFailureEvent", MachineEventSeverity.Error),
                _ => ("VmPoweredOffEvent", MachineEventSeverity.Info),
            };
            Record(type, severity, machine, $"{machine.Name} is powered off: {stop.Message}");
            FindConsole(machine.Id)?.End(stop);
            running.Finish(stop);
        }
    }

    private RunningMachine Running(VirtualMachine target)
    {
        if (_running.TryGetValue(target.Id, out RunningMachine? running))
        {
            return running;
        }

        VirtualMachineConfiguration machine = Get(target.Id, target.Name);
        throw MachineHold.WhoHolds(Folder, machine.Id) is { } holder
            ? new PowerStateException($"'{machine.Name}' is run by {holder}. Only that process can do this.")
            : new PowerStateException($"'{machine.Name}' is powered off.");
    }
}
