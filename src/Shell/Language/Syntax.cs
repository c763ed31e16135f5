namespace Hypervisor.Shell.Language;

/// <summary>One command with what was written behind it.</summary>
/// <param name="Name">Its name as written.</param>
/// <param name="Arguments">Parameters and values in order.</param>
internal sealed record CommandSyntax(string Name, IReadOnlyList<ArgumentSyntax> Arguments);

/// <summary>Commands connected by pipes.</summary>
internal sealed record PipelineSyntax(IReadOnlyList<CommandSyntax> Commands);

/// <summary>A parameter's name, with its value if that was attached by a colon; or a value alone.</summary>
internal sealed record ArgumentSyntax(string? Parameter, bool HasValue, object? Value)
{
    public static ArgumentSyntax ForParameter(string name) => new(name, false, null);

    public static ArgumentSyntax ForParameter(string name, object? value) => new(name, true, value);

    public static ArgumentSyntax ForValue(object? value) => new(null, true, value);
}

/// <summary>A word of the system's command line, where quotes are gone: its commas separate only where a list is asked for.</summary>
internal sealed record SystemWord(string Text)
{
    public override string ToString() => Text;
}
