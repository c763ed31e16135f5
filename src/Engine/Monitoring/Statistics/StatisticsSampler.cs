using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>
/// Takes a sample of the machines of this process every 20 seconds of the clock and records it. A timer fires while machines run, and none
/// does otherwise. What cannot be recorded is kept for an hour and recorded when that is possible again; machines never notice.
/// </summary>
internal sealed class StatisticsSampler : IDisposable
{
    // A timer that fires a moment early, by a clock that is being slewed, means the tick it was set for.
    private static readonly TimeSpan Early = TimeSpan.FromSeconds(2), Step = TimeSpan.FromSeconds(5);

    private static readonly int MostPending = StatisticsInterval.Realtime.StorageTimeSecs / StatisticsInterval.Realtime.SamplingPeriodSecs;

    private readonly Lock _lock = new();
    private readonly HostFolder _folder;
    private readonly string _hostId;
    private readonly TimeProvider _time;
    private readonly Func<HostReading> _read;
    private readonly Action<string, MachineEventSeverity, string> _record;
    private readonly ITimer _timer;
    private readonly long _writerId = Random.Shared.NextInt64();
    private readonly Queue<SampleBatch> _pending = [];
    private Dictionary<Guid, MachineReading> _before = [];
    private (DateTimeOffset Utc, long Timestamp)? _lastTick;
    private long _lastTime;
    private StatisticsDatabase? _database;
    private StatisticsWriter? _writer;
    private int _asideWhenOpened;
    private int _dropped;
    private int _watching;
    private bool _disposed;

    /// <summary>Samples machines into the database of a host folder; nothing is opened before a machine runs.</summary>
    /// <param name="folder">The host folder.</param>
    /// <param name="hostId">Identity of the host.</param>
    /// <param name="time">Clock and timers.</param>
    /// <param name="read">Reads the counters; from any thread.</param>
    /// <param name="record">Records an event: its kind, how bad it is, and a sentence.</param>
    public StatisticsSampler(HostFolder folder, string hostId, TimeProvider time, Func<HostReading> read, Action<string, MachineEventSeverity, string> record)
    {
        (_folder, _hostId, _time, _read, _record) = (folder, hostId, time, read, record);
        _timer = time.CreateTimer(static state => ((StatisticsSampler)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Told of each connection before it is written to; a test makes its disk small.</summary>
    internal Action<StatisticsDatabase>? Opened { get; set; }

    /// <summary>Why samples cannot be recorded at present, or null.</summary>
    public string? Failure { get; private set; }

    /// <summary>A machine runs: samples are taken from now on until none does. Does not wait.</summary>
    public void Watch()
    {
        if (Interlocked.Exchange(ref _watching, 1) == 0)
        {
            Arm();
        }
    }

    /// <summary>A machine has ended. When it was the last one, the database is closed soon. Does not wait.</summary>
    public void MachineEnded() => _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _timer.Dispose();
            if (_pending.Count > 0)
            {
                LastTry();
            }

            Close();
        }
    }

    private void OnTimer()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            try
            {
                Tick();
            }
            catch (Exception error)
            {
                // Whatever it is: statistics are not worth a machine, and on a timer's thread an exception would end the process.
                Fail(error);
                Arm();
            }
        }
    }

    private void Tick()
    {
        HostReading host = _read();
        if (host.Machines.Count == 0)
        {
            Rest();
            return;
        }

        DateTimeOffset now = _time.GetUtcNow();
        long timestamp = _time.GetTimestamp();
        long period = StatisticsInterval.Realtime.SamplingPeriodSecs, time = (now + Early).ToUnixTimeSeconds() / period * period;
        TimeSpan shift = _lastTick is { } last ? now - last.Utc - _time.GetElapsedTime(last.Timestamp, timestamp) : TimeSpan.Zero;
        if (_lastTick is not null && time <= _lastTime && shift > -Step)
        {
            // Called between two ticks, because a machine ended.
            Arm();
            return;
        }

        NoteClock(shift, now);
        (_lastTick, _lastTime) = ((now, timestamp), time);
        Keep(new SampleBatch(time, Values(host)));
        _before = host.Machines.ToDictionary(static machine => machine.Id);
        WritePending();
        Arm();
    }

    private List<EntityValues> Values(HostReading host)
    {
        var machines = host.Machines.ToDictionary(static machine => machine.Id, machine => MachineRates.Between(_before.GetValueOrDefault(machine.Id), machine, host.ProcessorMHz));
        return
        [
            .. machines.Select(static machine => new EntityValues(StatisticsService.EntityIdOf(machine.Key), IsShared: false, machine.Value)),
            .. host.Pools.Select(pool => new EntityValues(pool.Id, IsShared: true, HostRates.Of(pool, machines))),
            .. DatastoreRates.Of(host, _before),
            new EntityValues(_hostId, IsShared: true, HostRates.Of(host, _before, machines.Values)),

            // The first process that comes says it for all.
            new EntityValues(_hostId, IsShared: false, HostRates.CapacityOf(host)),
        ];
    }

    private void NoteClock(TimeSpan shift, DateTimeOffset now)
    {
        if (shift <= -Step)
        {
            _record("HostClockSetBackEvent", MachineEventSeverity.Warning,
                $"The host's clock was set back by {-shift:d\\.hh\\:mm\\:ss} to {now:yyyy-MM-dd HH:mm:ss} UTC. Samples of times that were recorded before stay as they are and are not taken again.");
        }
    }

    private void Keep(SampleBatch batch)
    {
        _pending.Enqueue(batch);
        while (_pending.Count > MostPending)
        {
            _pending.Dequeue();
            _dropped++;
        }
    }

    private void WritePending()
    {
        try
        {
            WriteOnce();
        }
        catch (SqliteException error) when (StatisticsDatabase.IsDamage(error))
        {
            SetAside(error);
            WriteOnce();
        }

        int recorded = _pending.Count;
        _pending.Clear();
        if (Failure is not null)
        {
            string lost = _dropped == 0 ? "" : $"; {_dropped} older ones are lost";
            _record("StatisticsRecordedEvent", MachineEventSeverity.Info, $"Statistics are recorded again. {recorded} samples that were kept in memory are recorded now{lost}.");
            (Failure, _dropped) = (null, 0);
        }
    }

    private void WriteOnce()
    {
        if (_database is not null && (_asideWhenOpened != DamagedDatabase.CountAside(_folder) || !File.Exists(_folder.Statistics)))
        {
            // The file that is open is no longer the database: somebody set it aside or removed it.
            Close();
        }

        if (_writer is null)
        {
            using FileLock held = DamagedDatabase.Lock(_folder);
            _asideWhenOpened = DamagedDatabase.CountAside(_folder);
            _database = StatisticsDatabase.OpenToWrite(_folder.Statistics);
            _writer = new StatisticsWriter(_database, _writerId);
            Opened?.Invoke(_database);
        }

        _writer.Write(_pending);
    }

    private void SetAside(SqliteException error)
    {
        Close();
        using FileLock held = DamagedDatabase.Lock(_folder);
        if (_asideWhenOpened != DamagedDatabase.CountAside(_folder))
        {
            // Another process was faster; what is there now is the new one.
            return;
        }

        string aside = DamagedDatabase.SetAside(_folder, _time.GetUtcNow());
        _record("StatisticsDatabaseDamagedEvent", MachineEventSeverity.Error,
            $"The database of statistics '{_folder.Statistics}' is damaged ({error.Message}). It was set aside as '{aside}', and a new one was begun.");
    }

    private void Fail(Exception error)
    {
        // A connection in an unknown state is not gone on with; opening another is cheap.
        Close();
        string message = error is SqliteException sqlite ? Describe(sqlite) : error.Message;
        if (Failure is null)
        {
            _record("StatisticsNotRecordedEvent", MachineEventSeverity.Error,
                $"Statistics cannot be recorded in '{_folder.Statistics}': {message} Machines go on. Samples of the last hour are kept in memory and recorded when that is possible again.");
        }

        Failure = message;
    }

    private static string Describe(SqliteException error)
    {
        const int Busy = 5, ReadOnly = 8, InputOutput = 10, Full = 13, CannotOpen = 14;
        return error.SqliteErrorCode switch
        {
            Busy => "other processes write to it all the time.",
            ReadOnly => "the file or its folder may only be read.",
            Full => "the disk is full.",
            InputOutput => $"the disk failed ({error.Message})",
            CannotOpen => "it cannot be opened; the folder may be gone, or not allow it.",
            _ => error.Message,
        };
    }

    private void Rest()
    {
        _before.Clear();
        _lastTick = null;
        if (_pending.Count > 0)
        {
            // A last try; what cannot be recorded now is kept for when a machine runs again.
            WritePending();
        }

        Close();
        Volatile.Write(ref _watching, 0);
        if (_read().Machines.Count > 0)
        {
            // One was powered on between the look and the stop.
            Watch();
        }
    }

    private void LastTry()
    {
        try
        {
            WritePending();
        }
        catch (Exception error)
        {
            _record("StatisticsNotRecordedEvent", MachineEventSeverity.Error, $"{_pending.Count} samples of statistics are lost: {error.Message}");
        }
    }

    private void Close()
    {
        _writer = null;
        _database?.Dispose();
        _database = null;
    }

    private void Arm()
    {
        long period = StatisticsInterval.Realtime.SamplingPeriodSecs * TimeSpan.TicksPerSecond;
        _timer.Change(TimeSpan.FromTicks(period - (_time.GetUtcNow().Ticks % period)), Timeout.InfiniteTimeSpan);
    }
}
