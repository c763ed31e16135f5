namespace Hypervisor.Engine.Monitoring;

/// <summary>
/// A panel of EsxTop: takes snapshots of counters that only grow, and computes rates between two of them. The counters themselves are
/// kept by whoever does the work.
/// </summary>
public abstract class EsxTopPanel
{
    /// <summary>Name, such as <c>Cpu</c>.</summary>
    public abstract string Name { get; }

    /// <summary>Type of the rows; null when it is only known once there is one.</summary>
    public virtual Type? RowType => null;

    /// <summary>A snapshot costs more than it is worth while nobody looks at the panel.</summary>
    internal virtual bool IsCostly => false;

    /// <summary>The counters as they are now, one object for each thing that is counted.</summary>
    public abstract IReadOnlyList<IEsxTopCounters> Take();

    /// <summary>Rates between two snapshots. What is only in the later one counts from when it began.</summary>
    /// <param name="before">The earlier snapshot.</param>
    /// <param name="after">The later one.</param>
    /// <param name="expand">One row for each world and the like, not one for each machine.</param>
    public abstract IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand);

    /// <summary>Lines that esxtop shows above the table, about the host or all machines together.</summary>
    public virtual IReadOnlyList<string> Summarize(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after) => [];

    /// <summary>All columns of batch mode for an interval, whole machines and what is in them.</summary>
    public abstract IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after);
}

/// <summary>Counters of one thing, as they are kept.</summary>
public interface IEsxTopCounters
{
    /// <summary>Name of the machine they belong to.</summary>
    string Name { get; }
}

/// <summary>A line of a panel: rates over an interval.</summary>
public interface IEsxTopRow
{
    /// <summary>Name shown.</summary>
    string Name { get; }

    /// <summary>What the line belongs to: the name of the line that it is part of when expanded, or its own.</summary>
    internal string Group => Name;

    /// <summary>The line is about a machine, not about the host.</summary>
    internal bool IsOfMachine => true;
}

/// <summary>A value of batch mode.</summary>
/// <param name="Instance">Object and instance, such as <c>Group Cpu(100:web)</c>.</param>
/// <param name="Counter">Counter, such as <c>% Used</c>.</param>
/// <param name="Value">Its value; not a number while it is not known, so that it has a column when it is.</param>
public readonly record struct EsxTopValue(string Instance, string Counter, double Value);
