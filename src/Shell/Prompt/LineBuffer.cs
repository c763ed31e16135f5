namespace Hypervisor.Shell.Prompt;

/// <summary>A line that is being typed, and the cursor in it.</summary>
internal sealed class LineBuffer
{
    private string _text = "";

    public string Text => _text;

    public int Cursor { get; private set; }

    public void Set(string text)
    {
        _text = text;
        Cursor = text.Length;
    }

    public void Insert(string text)
    {
        _text = _text.Insert(Cursor, text);
        Cursor += text.Length;
    }

    /// <summary>Puts a text in place of the characters from a position to the cursor.</summary>
    public void Replace(int start, string text)
    {
        _text = _text.Remove(start, Cursor - start).Insert(start, text);
        Cursor = start + text.Length;
    }

    public void Backspace()
    {
        if (Cursor > 0)
        {
            _text = _text.Remove(--Cursor, 1);
        }
    }

    public void Delete()
    {
        if (Cursor < _text.Length)
        {
            _text = _text.Remove(Cursor, 1);
        }
    }

    public void Left() => Cursor = Math.Max(0, Cursor - 1);

    public void Right() => Cursor = Math.Min(_text.Length, Cursor + 1);

    public void Home() => Cursor = 0;

    public void End() => Cursor = _text.Length;

    public void WordLeft() => Cursor = PreviousWord();

    public void WordRight()
    {
        while (Cursor < _text.Length && !char.IsWhiteSpace(_text[Cursor]))
        {
            Cursor++;
        }

        while (Cursor < _text.Length && char.IsWhiteSpace(_text[Cursor]))
        {
            Cursor++;
        }
    }

    public void DeleteWordLeft() => Replace(PreviousWord(), "");

    public void DeleteToStart() => Replace(0, "");

    public void DeleteToEnd() => _text = _text[..Cursor];

    private int PreviousWord()
    {
        int position = Cursor;
        while (position > 0 && char.IsWhiteSpace(_text[position - 1]))
        {
            position--;
        }

        while (position > 0 && !char.IsWhiteSpace(_text[position - 1]))
        {
            position--;
        }

        return position;
    }
}
