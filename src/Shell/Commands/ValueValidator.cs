using System.Collections;
using System.Globalization;
using System.Management.Automation;
using System.Reflection;
using System.Text.RegularExpressions;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Commands;

/// <summary>Applies a parameter's validation attributes, in PowerShell's sense.</summary>
internal static class ValueValidator
{
    /// <summary>Checks a value that has the parameter's type.</summary>
    /// <exception cref="UsageException">The value is not allowed.</exception>
    public static void Check(ParameterDefinition parameter, object? value, bool isMandatory)
    {
        CheckEmptiness(parameter, value, isMandatory);
        foreach (CustomAttributeData attribute in parameter.Attributes)
        {
            foreach (object? item in Each(value))
            {
                CheckItem(parameter, attribute, item);
            }

            if (attribute.AttributeType == typeof(ValidateCountAttribute) && value is Array list)
            {
                object?[] limits = [.. AttributeValues.Flat(attribute)];
                if (list.Length < (int)limits[0]! || list.Length > (int)limits[1]!)
                {
                    throw new UsageException($"-{parameter.Name} takes {limits[0]} to {limits[1]} values, not {list.Length}.");
                }
            }
        }
    }

    private static void CheckEmptiness(ParameterDefinition parameter, object? value, bool isMandatory)
    {
        bool strict = parameter.Has<ValidateNotNullOrEmptyAttribute>();
        if (!strict && !isMandatory && !parameter.Has<ValidateNotNullAttribute>())
        {
            return;
        }

        bool isNull = value is null && !parameter.Has<AllowNullAttribute>();
        bool isEmptyText = value is "" && (strict || !parameter.Has<AllowEmptyStringAttribute>()) && !parameter.Has<ValidateNotNullAttribute>();
        bool isEmptyList = value is Array { Length: 0 } && (strict || !parameter.Has<AllowEmptyCollectionAttribute>());
        bool hasEmptyItem = value is Array items && items.Cast<object?>().Any(static item => item is null or "") && !parameter.Has<AllowEmptyStringAttribute>();
        if (isNull || isEmptyText || isEmptyList || hasEmptyItem)
        {
            throw new UsageException($"-{parameter.Name} must not be empty.");
        }
    }

    private static void CheckItem(ParameterDefinition parameter, CustomAttributeData attribute, object? item)
    {
        Type kind = attribute.AttributeType;
        if (item is null)
        {
            return;
        }

        object?[] limits = [.. AttributeValues.Flat(attribute)];
        string text = Convert.ToString(item, CultureInfo.InvariantCulture) ?? "";
        if (kind == typeof(ValidateRangeAttribute) && limits.Length == 2)
        {
            decimal number = Convert.ToDecimal(item, CultureInfo.InvariantCulture);
            if (number < Convert.ToDecimal(limits[0], CultureInfo.InvariantCulture) || number > Convert.ToDecimal(limits[1], CultureInfo.InvariantCulture))
            {
                throw new UsageException($"{text} is not possible for -{parameter.Name}: it goes from {limits[0]} to {limits[1]}.");
            }
        }
        else if (kind == typeof(ValidateSetAttribute) && !limits.OfType<string>().Contains(text, StringComparer.OrdinalIgnoreCase))
        {
            throw new UsageException($"'{text}' is not possible for -{parameter.Name}. Possible: {string.Join(", ", limits.OfType<string>())}.");
        }
        else if (kind == typeof(ValidatePatternAttribute) && !Regex.IsMatch(text, (string)limits[0]!, RegexOptions.IgnoreCase))
        {
            throw new UsageException($"'{text}' is not possible for -{parameter.Name}: it does not match '{limits[0]}'.");
        }
        else if (kind == typeof(ValidateLengthAttribute) && (text.Length < (int)limits[0]! || text.Length > (int)limits[1]!))
        {
            throw new UsageException($"-{parameter.Name} has {limits[0]} to {limits[1]} characters, not {text.Length}.");
        }
    }

    private static IEnumerable<object?> Each(object? value) => value is IEnumerable list and not string and not IDictionary ? list.Cast<object?>() : [value];
}
