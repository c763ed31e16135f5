namespace Hypervisor.Shell.Prompt;

/// <summary>Reads a line from the terminal with editing, history and completion.</summary>
internal sealed class LineEditor(CommandHistory history, Func<ConsoleKeyInfo> readKey, TextWriter screen, Func<int> width)
{
    private const string EraseToEnd = "\e[J";

    // A terminal that does not know its size says 0.
    private const int NarrowestScreen = 8, UsualWidth = 80;

    private readonly LineBuffer _line = new();
    private int _shownRow;

    /// <summary>Reads a line; null at Ctrl-D on an empty one.</summary>
    public string? ReadLine(string prompt)
    {
        _line.Set("");
        _shownRow = 0;
        Show(prompt);
        while (true)
        {
            ConsoleKeyInfo key = readKey();
            bool control = key.Modifiers.HasFlag(ConsoleModifiers.Control);
            if (control && key.Key == ConsoleKey.D && _line.Text.Length == 0)
            {
                screen.WriteLine();
                return null;
            }

            if (key.Key == ConsoleKey.Enter)
            {
                _line.End();
                Show(prompt);
                screen.WriteLine();
                history.Add(_line.Text);
                return _line.Text;
            }

            if (control && key.Key == ConsoleKey.C)
            {
                screen.WriteLine("^C");
                return "";
            }

            if (key.Key == ConsoleKey.Tab)
            {
                Complete(prompt);
            }
            else
            {
                Edit(key, control);
            }

            Show(prompt);
        }
    }

    private void Edit(ConsoleKeyInfo key, bool control)
    {
        switch (key.Key)
        {
            case ConsoleKey.LeftArrow when control:
                _line.WordLeft();
                break;
            case ConsoleKey.RightArrow when control:
                _line.WordRight();
                break;
            case ConsoleKey.LeftArrow:
            case ConsoleKey.B when control:
                _line.Left();
                break;
            case ConsoleKey.RightArrow:
            case ConsoleKey.F when control:
                _line.Right();
                break;
            case ConsoleKey.Home:
            case ConsoleKey.A when control:
                _line.Home();
                break;
            case ConsoleKey.End:
            case ConsoleKey.E when control:
                _line.End();
                break;
            case ConsoleKey.UpArrow:
            case ConsoleKey.P when control:
                _line.Set(history.Previous(_line.Text));
                break;
            case ConsoleKey.DownArrow:
            case ConsoleKey.N when control:
                _line.Set(history.Next());
                break;
            case ConsoleKey.Backspace when control:
            case ConsoleKey.W when control:
                _line.DeleteWordLeft();
                break;
            case ConsoleKey.Backspace:
                _line.Backspace();
                break;
            case ConsoleKey.Delete:
            case ConsoleKey.D when control:
                _line.Delete();
                break;
            case ConsoleKey.U when control:
                _line.DeleteToStart();
                break;
            case ConsoleKey.K when control:
                _line.DeleteToEnd();
                break;
            case ConsoleKey.Escape:
                _line.Set("");
                break;
            default:
                if (!char.IsControl(key.KeyChar) && key.KeyChar != '\0')
                {
                    _line.Insert(key.KeyChar.ToString());
                }

                break;
        }
    }

    private void Complete(string prompt)
    {
        Completion completion = CommandCompleter.Complete(_line.Text, _line.Cursor);
        switch (completion.Candidates)
        {
            case []:
                return;
            case [{ } only]:
                _line.Replace(completion.Start, only.EndsWith('/') || Directory.Exists(only) ? only : only + " ");
                return;
        }

        string common = completion.Candidates.Aggregate(CommonBeginning);
        if (common.Length > _line.Cursor - completion.Start)
        {
            _line.Replace(completion.Start, common);
            return;
        }

        screen.WriteLine();
        screen.WriteLine(string.Join("  ", completion.Candidates));
        _shownRow = 0;
        Show(prompt);
    }

    private static string CommonBeginning(string a, string b)
    {
        int length = 0;
        while (length < a.Length && length < b.Length && char.ToUpperInvariant(a[length]) == char.ToUpperInvariant(b[length]))
        {
            length++;
        }

        return a[..length];
    }

    // Draws the line anew from its first row, which may be above the cursor's when the line is longer than the screen is wide.
    private void Show(string prompt)
    {
        int columns = width() is >= NarrowestScreen and int known ? known : UsualWidth;
        string text = prompt + _line.Text;
        int cursor = prompt.Length + _line.Cursor;
        string up = _shownRow > 0 ? $"\e[{_shownRow}A" : "";
        screen.Write($"{up}\r{text}{EraseToEnd}");

        // A terminal wraps only when the next character comes: a line that just fills a row leaves the cursor on it.
        if (text.Length > 0 && text.Length % columns == 0)
        {
            screen.Write("\n");
        }

        int endRow = text.Length / columns, row = cursor / columns, column = cursor % columns;
        if (endRow > row)
        {
            screen.Write($"\e[{endRow - row}A");
        }

        screen.Write(column > 0 ? $"\r\e[{column}C" : "\r");
        screen.Flush();
        _shownRow = row;
    }
}
