using System.Collections;
using System.Globalization;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Commands;

/// <summary>Turns literals into values of a parameter's type, with PowerShell's spellings of numbers.</summary>
internal static class ValueConverter
{
    private static readonly (string Suffix, long Factor)[] Multipliers =
        [("KB", 1L << 10), ("MB", 1L << 20), ("GB", 1L << 30), ("TB", 1L << 40), ("PB", 1L << 50)];

    /// <summary>Converts for a parameter.</summary>
    /// <exception cref="UsageException">The value is none of the type.</exception>
    public static object? Convert(object? value, Type type, string parameter)
    {
        if (!type.IsArray)
        {
            return ConvertOne(value, type, parameter);
        }

        if (value is null)
        {
            return null;
        }

        Type item = type.GetElementType()!;
        object?[] items = Items(value);
        Array array = Array.CreateInstance(item, items.Length);
        for (int i = 0; i < items.Length; i++)
        {
            array.SetValue(ConvertOne(items[i], item, parameter), i);
        }

        return array;
    }

    /// <summary>A value as the list that a list parameter takes.</summary>
    public static object?[] Items(object value) => value switch
    {
        object?[] list => list,
        SystemWord word => [.. word.Text.Split(',').Select(static part => (object?)part)],
        string => [value],
        IDictionary => [value],
        IEnumerable list => [.. list.Cast<object?>()],
        _ => [value],
    };

    private static object? ConvertOne(object? value, Type type, string parameter)
    {
        Type target = Nullable.GetUnderlyingType(type) ?? type;
        if (value is SystemWord word)
        {
            value = word.Text;
        }

        if (value is null)
        {
            return type.IsValueType && target == type ? throw Refusal(parameter, "$null", target) : target == typeof(string) ? "" : null;
        }

        if (target.IsInstanceOfType(value))
        {
            return value;
        }

        if (value is object?[] { Length: 1 } single)
        {
            return ConvertOne(single[0], type, parameter);
        }

        if (value is Array)
        {
            throw new UsageException($"-{parameter} takes one value, not a list.");
        }

        string text = System.Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        return FromText(text, target, parameter) ?? throw Refusal(parameter, text, target);
    }

    private static object? FromText(string text, Type target, string parameter)
    {
        if (target == typeof(string))
        {
            return text;
        }

        if (target == typeof(bool))
        {
            return ToBoolean(text);
        }

        if (target.IsEnum)
        {
            return Enum.TryParse(target, text, ignoreCase: true, out object? member) && Enum.IsDefined(target, member)
                ? member
                : throw new UsageException($"'{text}' is not possible for -{parameter}. Possible: {string.Join(", ", Enum.GetNames(target))}.");
        }

        if (target == typeof(Guid))
        {
            return Guid.TryParse(text, out Guid id) ? id : null;
        }

        if (target == typeof(DateTime))
        {
            return DateTime.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeLocal, out DateTime time) ? time : null;
        }

        if (target == typeof(TimeSpan))
        {
            return TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan span) ? span : null;
        }

        return Number(text) is { } number ? ToNumber(number, target, text, parameter) : null;
    }

    private static object? ToBoolean(string text) => text.ToUpperInvariant() switch
    {
        "TRUE" or "$TRUE" or "1" => true,
        "FALSE" or "$FALSE" or "0" => false,
        _ => null,
    };

    // decimal holds every long and every fraction that sizes are written with.
    private static decimal? Number(string text)
    {
        decimal factor = 1;
        foreach ((string suffix, long size) in Multipliers)
        {
            if (text.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))
            {
                factor = size;
                text = text[..^suffix.Length];
                break;
            }
        }

        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            return ulong.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong hex) ? hex * factor : null;
        }

        bool read = decimal.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out decimal number);
        return read && Math.Abs(number) <= decimal.MaxValue / factor ? number * factor : null;
    }

    private static object? ToNumber(decimal number, Type target, string text, string parameter)
    {
        if (IsWhole(target) && number != decimal.Truncate(number))
        {
            throw new UsageException($"'{text}' is not possible for -{parameter}: a whole number is needed.");
        }

        try
        {
            return System.Convert.ChangeType(number, target, CultureInfo.InvariantCulture);
        }
        catch (OverflowException)
        {
            throw new UsageException($"'{text}' is not possible for -{parameter}: the number is too large or too small.");
        }
        catch (InvalidCastException)
        {
            return null;
        }
    }

    private static UsageException Refusal(string parameter, string text, Type target) =>
        new($"'{text}' is not possible for -{parameter}: {(IsWhole(target) ? "a whole number" : IsFraction(target) ? "a number" : $"a value of type {target.Name}")} is needed.");

    private static bool IsWhole(Type type) => type == typeof(int) || type == typeof(long) || type == typeof(uint) || type == typeof(ulong)
        || type == typeof(short) || type == typeof(ushort) || type == typeof(byte);

    private static bool IsFraction(Type type) => type == typeof(decimal) || type == typeof(double) || type == typeof(float);
}
