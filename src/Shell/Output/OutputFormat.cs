namespace Hypervisor.Shell.Output;

/// <summary>How results are written.</summary>
internal enum OutputFormat
{
    /// <summary>As the type's default view says: usually a table.</summary>
    Default,
    /// <summary>A table.</summary>
    Table,
    /// <summary>Each property on a line.</summary>
    List,
    /// <summary>A JSON array.</summary>
    Json,
    /// <summary>Comma-separated values with a header line.</summary>
    Csv,
}
