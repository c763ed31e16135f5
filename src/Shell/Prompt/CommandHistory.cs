namespace Hypervisor.Shell.Prompt;

/// <summary>Lines typed before, also in earlier sessions on the same host folder.</summary>
internal sealed class CommandHistory
{
    private const int Kept = 500;

    private readonly string? _path;
    private readonly List<string> _lines = [];
    private int _position;
    private string _typed = "";

    /// <param name="path">File that keeps the lines; null keeps them in memory.</param>
    public CommandHistory(string? path)
    {
        _path = path;
        try
        {
            if (path is not null && File.Exists(path))
            {
                _lines.AddRange(File.ReadLines(path).TakeLast(Kept));
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"The history could not be read: {exception.Message}");
        }

        _position = _lines.Count;
    }

    public void Add(string line)
    {
        _typed = "";
        if (line.Trim().Length > 0 && (_lines.Count == 0 || _lines[^1] != line))
        {
            _lines.Add(line);
        }

        _position = _lines.Count;
    }

    /// <summary>The line before the one shown; what was being typed is kept for the way back.</summary>
    public string Previous(string shown)
    {
        if (_position == _lines.Count)
        {
            _typed = shown;
        }

        _position = Math.Max(0, _position - 1);
        return _position < _lines.Count ? _lines[_position] : shown;
    }

    public string Next()
    {
        _position = Math.Min(_lines.Count, _position + 1);
        return _position < _lines.Count ? _lines[_position] : _typed;
    }

    /// <summary>Writes the newest lines to the file. A history that cannot be kept is no reason to fail.</summary>
    public void Save()
    {
        if (_path is null || _lines.Count == 0 || !Directory.Exists(Path.GetDirectoryName(_path)))
        {
            return;
        }

        try
        {
            File.WriteAllLines(_path, _lines.TakeLast(Kept));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"The history could not be written: {exception.Message}");
        }
    }
}
