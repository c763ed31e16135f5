using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <content>Questions on the message line.</content>
internal sealed partial class TopScreen
{
    private const int LongestAnswer = 256;

    private readonly string _settingsPath;

    /// <summary>A question, what is typed so far, and what becomes of it.</summary>
    private sealed record Prompt(string Question, Func<string, TopRequest> Accept)
    {
        public StringBuilder Answer { get; } = new();

        /// <summary>One key answers, without Enter.</summary>
        public bool TakesOneKey { get; init; }
    }

    private void Ask(string question, Func<string, TopRequest> accept) => _prompt = new Prompt(question, accept);

    private void Ask(string question, Action<string> accept) => Ask(question, text =>
    {
        accept(text);
        return TopRequest.None;
    });

    private TopRequest PressInPrompt(TopKey key)
    {
        Prompt prompt = _prompt!;
        switch (key.Kind)
        {
            case TopKeyKind.Enter:
                _prompt = null;
                return prompt.Accept(prompt.Answer.ToString().Trim());
            case TopKeyKind.Escape:
                _prompt = null;
                break;
            case TopKeyKind.EraseLine:
                prompt.Answer.Clear();
                break;
            case TopKeyKind.Backspace when prompt.Answer.Length > 0:
                prompt.Answer.Length -= prompt.Answer.Length > 1 && char.IsLowSurrogate(prompt.Answer[^1]) ? 2 : 1;
                break;
            case TopKeyKind.Character when prompt.TakesOneKey:
                _prompt = null;
                return prompt.Accept(key.Rune.ToString());
            case TopKeyKind.Character when prompt.Answer.Length < LongestAnswer:
                prompt.Answer.Append(key.Rune.ToString());
                break;
        }

        return TopRequest.None;
    }

    private TopRequest SetDelay(string text)
    {
        if (text.Length == 0)
        {
            return TopRequest.None;
        }

        if (!double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) || !(seconds is >= TopSettings.LeastDelay and <= TopSettings.MostDelay))
        {
            _message = string.Create(CultureInfo.InvariantCulture, $"'{text}' is no time in seconds from {TopSettings.LeastDelay} to {TopSettings.MostDelay}.");
            return TopRequest.None;
        }

        Delay = TimeSpan.FromSeconds(seconds);
        return TopRequest.Refresh;
    }

    private void SetNumber(string text, int most, Action<int> set)
    {
        if (text.Length == 0)
        {
            return;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value <= most)
        {
            set(value);
            _view.Widths.Clear();
            _view.Scroll = 0;
        }
        else
        {
            _message = $"'{text}' is no number from 0 to {most}.";
        }
    }

    private void Expand(string text)
    {
        if (text.Length == 0)
        {
            return;
        }

        if (text == "*")
        {
            _view.ExpandAll = !_view.ExpandAll;
            _view.Expanded.Clear();
            return;
        }

        if (_view.FindGroup(_rows, text) is not { } group)
        {
            _message = $"There is nothing called '{text}' here.";
            return;
        }

        if (_view.ExpandAll)
        {
            // All but this one.
            _view.ExpandAll = false;
            _view.Expanded.UnionWith(_rows.Select(static row => row.Group));
        }

        if (!_view.Expanded.Remove(group))
        {
            _view.Expanded.Add(group);
        }
    }

    private void Limit(string text)
    {
        if (text.Length == 0)
        {
            _view.Limit = null;
            return;
        }

        string? before = _view.Limit;
        _view.Limit = null;
        Arrange();
        _view.Limit = _view.FindGroup(_rows, text) ?? before;
        if (_view.FindGroup(_rows, text) is null)
        {
            _message = $"There is nothing called '{text}' here.";
        }
    }

    private void Confirm(string question, TopRequest confirmed) => _prompt = new Prompt(
        question + " (y/n) ", answer => answer.Equals("y", StringComparison.OrdinalIgnoreCase) ? confirmed : TopRequest.None) { TakesOneKey = true };
}
