namespace Hypervisor.Shell.Language;

/// <summary>Words of hv that stand for a command with some of its parameters.</summary>
internal static class Shortcuts
{
    /// <summary>The screen of EsxTop.</summary>
    public const string Top = "top";

    private const string TopCommand = "Get-EsxTop", TopSwitch = "Interactive";

    /// <summary>The pipeline with the command that a word stands for; the same pipeline when it stands for none.</summary>
    public static PipelineSyntax Resolve(PipelineSyntax pipeline) =>
        pipeline.Commands is [{ } only] && IsTop(only.Name)
            ? new PipelineSyntax([new CommandSyntax(TopCommand, [.. only.Arguments, ArgumentSyntax.ForParameter(TopSwitch)])])
            : pipeline;

    /// <summary>The name of the command that a word stands for; the same word when it stands for none.</summary>
    public static string ResolveName(string word) => IsTop(word) ? TopCommand : word;

    private static bool IsTop(string word) => string.Equals(word, Top, StringComparison.OrdinalIgnoreCase);
}
