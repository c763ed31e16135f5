using System.Text.Json;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>The process that runs a machine.</summary>
/// <param name="ProcessId">Its process id.</param>
/// <param name="ProcessName">Its name, such as <c>pwsh</c> or <c>hv</c>.</param>
/// <param name="HostName">The computer it is on; a host folder may lie on a shared disk.</param>
/// <param name="Since">When it took the machine, UTC.</param>
public sealed record MachineHolder(int ProcessId, string ProcessName, string HostName, DateTimeOffset Since)
{
    /// <inheritdoc/>
    public override string ToString() => $"process {ProcessId} ({ProcessName}) on {HostName}, since {Since:yyyy-MM-dd HH:mm:ss} UTC";
}

/// <summary>
/// The right to run a machine or to remove it: at most one process has it. The lock is the operating system's; a file beside it
/// says who holds it.
/// </summary>
internal sealed class MachineHold : IDisposable
{
    // Long enough to outlast a process that merely looks whether the lock is held.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);

    private readonly FileLock _lock;
    private readonly string _holderPath;

    private MachineHold(FileLock fileLock, string holderPath, MachineHolder? abandonedBy)
    {
        _lock = fileLock;
        _holderPath = holderPath;
        AbandonedBy = abandonedBy;
    }

    /// <summary>The process that had the machine and ended without giving it back; null when the last one did.</summary>
    public MachineHolder? AbandonedBy { get; }

    /// <summary>Takes the machine.</summary>
    /// <exception cref="MachineException">Another process, which is named, has it.</exception>
    public static MachineHold Take(HostFolder folder, Guid id, string name)
    {
        FileLock fileLock = FileLock.TryTake(folder.LockOf(id), Patience)
            ?? throw new MachineException($"'{name}' is run by {WhoHolds(folder, id)?.ToString() ?? "another process"}. Stop it there, or end that process.");
        try
        {
            var holder = new MachineHolder(Environment.ProcessId, ProcessName(), Environment.MachineName, DateTimeOffset.UtcNow);
            MachineHolder? before = ReadNote(folder, id);
            AtomicFile.Replace(folder.HolderOf(id), JsonSerializer.SerializeToUtf8Bytes(holder, InventoryJson.Default.MachineHolder));
            return new MachineHold(fileLock, folder.HolderOf(id), before);
        }
        catch
        {
            fileLock.Dispose();
            throw;
        }
    }

    /// <summary>Who holds a machine now, or null. A holder that died no longer counts.</summary>
    public static MachineHolder? WhoHolds(HostFolder folder, Guid id)
    {
        MachineHolder? holder = ReadNote(folder, id);
        return holder is not null && FileLock.IsHeld(folder.LockOf(id)) ? holder : null;
    }

    private static MachineHolder? ReadNote(HostFolder folder, Guid id)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(folder.HolderOf(id)), InventoryJson.Default.MachineHolder);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (JsonException)
        {
            // The lock is what counts; without a readable note the holder is known to exist and no more.
            return new MachineHolder(0, "unknown", "unknown", default);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The note goes first: whoever sees a note after the lock is free would have to test the lock for nothing.
        try
        {
            File.Delete(_holderPath);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A note without a lock is recognised as that of a dead holder.
        }

        _lock.Dispose();
    }

    // hv is run by "dotnet", which would tell nobody anything.
    private static string ProcessName() =>
        System.Reflection.Assembly.GetEntryAssembly()?.GetName().Name ?? Path.GetFileNameWithoutExtension(Environment.ProcessPath ?? "unknown");
}
