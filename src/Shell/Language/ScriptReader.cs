using System.Text;

namespace Hypervisor.Shell.Language;

/// <summary>Reads commands that come over a pipe: each is there as soon as its last line is, so that whoever writes them may wait for what they do.</summary>
internal static class ScriptReader
{
    /// <summary>Reads to the end.</summary>
    /// <param name="reader">Where lines come from.</param>
    /// <returns>Pipelines, as many as a line completes.</returns>
    /// <exception cref="UsageException">Not hv's language; what was given before may have been run.</exception>
    public static IEnumerable<IReadOnlyList<PipelineSyntax>> Read(TextReader reader)
    {
        var text = new StringBuilder();
        while (reader.ReadLine() is { } line)
        {
            text.Append(line).Append('\n');
            if (!line.EndsWith('`') && Parse(text.ToString()) is { } pipelines)
            {
                text.Clear();
                yield return pipelines;
            }
        }

        if (text.Length > 0)
        {
            yield return CommandParser.Parse(text.ToString());
        }
    }

    // Null when the text goes on in the next line.
    private static IReadOnlyList<PipelineSyntax>? Parse(string text)
    {
        try
        {
            return CommandParser.Parse(text);
        }
        catch (UsageException exception) when (exception.IsUnfinished)
        {
            return null;
        }
    }
}
