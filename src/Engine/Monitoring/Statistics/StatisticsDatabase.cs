using System.Globalization;
using Microsoft.Data.Sqlite;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>
/// A connection to the database of samples in a host folder. Several processes have one at a time: readers never wait, writers wait for
/// each other (write-ahead log, busy timeout).
/// </summary>
/// <remarks>
/// A row is a value of a series (entity, counter, instance) for the period of <c>level</c> seconds that ends at <c>time</c>. It holds the
/// sum of the samples and their number, so that an average over a longer period is computed from the samples themselves and not from
/// rounded averages. Rows lie in the order of time: what a tick writes, and what is pruned, is in one place.
/// </remarks>
internal sealed class StatisticsDatabase : IDisposable
{
    /// <summary>Version of the tables below.</summary>
    public const int Version = 1;

    // "HVST", so that another program's database is not taken for ours (SQLite file format, 1.3.15).
    private const int ApplicationId = 0x48565354;
    private const int BusyTimeoutSeconds = 5;

    private const string Tables = """
        CREATE TABLE series(id INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, counter TEXT NOT NULL, instance TEXT NOT NULL, UNIQUE(entity, counter, instance)) STRICT;
        CREATE TABLE sample(level INTEGER NOT NULL, time INTEGER NOT NULL, series INTEGER NOT NULL, total REAL NOT NULL, count INTEGER NOT NULL, PRIMARY KEY(level, time, series)) STRICT, WITHOUT ROWID;
        CREATE TABLE tick(time INTEGER NOT NULL, writer INTEGER NOT NULL, PRIMARY KEY(time, writer)) STRICT, WITHOUT ROWID;
        """;

    private StatisticsDatabase(SqliteConnection connection) => Connection = connection;

    /// <summary>The connection.</summary>
    public SqliteConnection Connection { get; }

    /// <summary>Opens to write; makes the database when there is none. Only one process at a time may do this: hold the lock of <see cref="DamagedDatabase"/>.</summary>
    /// <exception cref="SqliteException">The file cannot be opened, or is damaged.</exception>
    /// <exception cref="StatisticsException">It is none of ours, or a newer version made it.</exception>
    public static StatisticsDatabase OpenToWrite(string path)
    {
        StatisticsDatabase database = Open(path, SqliteOpenMode.ReadWriteCreate);
        try
        {
            // A power failure may cost the last seconds, never the file: with a write-ahead log only checkpoints need to be on the disk (PRAGMA synchronous).
            database.Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;");
            database.InTransaction(() =>
            {
                if (database.Number("SELECT count(*) FROM sqlite_schema") == 0)
                {
                    database.Execute(string.Create(CultureInfo.InvariantCulture, $"{Tables} PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {Version};"));
                }
            });
            database.CheckVersion(path);
            return database;
        }
        catch
        {
            database.Dispose();
            throw;
        }
    }

    /// <summary>Opens to read; null when there is no database yet.</summary>
    /// <inheritdoc cref="OpenToWrite"/>
    public static StatisticsDatabase? OpenToRead(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        StatisticsDatabase database = Open(path, SqliteOpenMode.ReadOnly);
        try
        {
            if (database.Number("SELECT count(*) FROM sqlite_schema") == 0)
            {
                // Another process is about to make the tables.
                database.Dispose();
                return null;
            }

            database.CheckVersion(path);
            return database;
        }
        catch
        {
            database.Dispose();
            throw;
        }
    }

    /// <summary>The file is not what was written: its contents are damaged, which nothing but setting it aside helps.</summary>
    public static bool IsDamage(SqliteException exception)
    {
        const int Corrupt = 11, NotADatabase = 26;
        return exception.SqliteErrorCode is Corrupt or NotADatabase;
    }

    /// <summary>Does something as the only writer, all of it or nothing.</summary>
    public void InTransaction(Action action)
    {
        Execute("BEGIN IMMEDIATE");
        try
        {
            action();
            Execute("COMMIT");
        }
        catch
        {
            RollBack();
            throw;
        }
    }

    /// <summary>Runs statements without a result.</summary>
    public void Execute(string sql)
    {
        using SqliteCommand command = Command(sql);
        command.ExecuteNonQuery();
    }

    /// <summary>Result of a query of one number; 0 for none.</summary>
    public long Number(string sql)
    {
        using SqliteCommand command = Command(sql);
        return command.ExecuteScalar() is long number ? number : 0;
    }

    /// <summary>A statement with its parameters.</summary>
    public SqliteCommand Command(string sql, params (string Name, object Value)[] parameters)
    {
        SqliteCommand command = Connection.CreateCommand();
        command.CommandText = sql;
        foreach ((string name, object value) in parameters)
        {
            command.Parameters.AddWithValue(name, value);
        }

        return command;
    }

    /// <inheritdoc/>
    public void Dispose() => Connection.Dispose();

    private static StatisticsDatabase Open(string path, SqliteOpenMode mode)
    {
        // Without a pool: a file that was set aside or removed must not stay open behind our back.
        var settings = new SqliteConnectionStringBuilder { DataSource = path, Mode = mode, Pooling = false, DefaultTimeout = BusyTimeoutSeconds };
        var connection = new SqliteConnection(settings.ToString());
        try
        {
            connection.Open();
            return new StatisticsDatabase(connection);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private void RollBack()
    {
        try
        {
            Execute("ROLLBACK");
        }
        catch (SqliteException)
        {
            // A full disk or a failing one has rolled back already (SQLite, "Response to errors within a transaction"); that error is the one to tell.
        }
    }

    private void CheckVersion(string path)
    {
        if (Number("PRAGMA application_id") != ApplicationId)
        {
            throw new StatisticsException($"'{path}' is a database of another program. Move it away.");
        }

        long version = Number("PRAGMA user_version");
        if (version != Version)
        {
            throw new StatisticsException($"'{path}' has version {version} of the statistics; this version of the product knows {Version}. Use the newer one, or move the file away.");
        }
    }
}
