using System.Management.Automation;
using System.Reflection;
using Hypervisor.Cmdlets;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Commands;

/// <summary>
/// Binds what was written, and what comes through the pipeline, to a command's parameters, by PowerShell's rules: exact name or
/// alias, else an unambiguous beginning; positions; parameter sets; transformation, conversion, validation, in this order.
/// </summary>
internal sealed class ParameterBinder
{
    private readonly CommandDefinition _command;
    private readonly HypervisorCmdlet _cmdlet;
    private readonly bool _expectsInput;
    private readonly Dictionary<string, object?> _bound = new(StringComparer.OrdinalIgnoreCase);
    private readonly HashSet<string> _fromPipeline = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<ParameterDefinition, object?> _defaults = [];
    private List<string> _sets;

    public ParameterBinder(CommandDefinition command, HypervisorCmdlet cmdlet, bool expectsInput)
    {
        _command = command;
        _cmdlet = cmdlet;
        _expectsInput = expectsInput;
        _sets = [.. command.Sets];
    }

    public CommonParameters Common { get; } = new();

    public bool IsBound(string parameter) => _bound.ContainsKey(parameter);

    public bool IsSwitchOn(string parameter) => _bound.GetValueOrDefault(parameter) is true;

    /// <summary>Binds the arguments.</summary>
    /// <exception cref="UsageException">They do not fit the command.</exception>
    public void BindArguments(IReadOnlyList<ArgumentSyntax> arguments)
    {
        List<object?> positional = BindNamed(arguments);
        BindPositional(positional);
        ChooseSet();
        CheckMandatory();
    }

    /// <summary>Binds an object of the pipeline; false when no parameter takes it.</summary>
    /// <exception cref="UsageException">A parameter takes it, but not this value.</exception>
    public bool BindInput(object input)
    {
        foreach (string name in _fromPipeline)
        {
            ParameterDefinition parameter = _command.Parameters.First(candidate => candidate.Name == name);
            parameter.Property.SetValue(_cmdlet, _defaults[parameter]);
            _bound.Remove(name);
        }

        _fromPipeline.Clear();

        // Where the arguments leave several sets open, what comes decides, for each object anew.
        return _sets.Exists(set => BindInput(input, set));
    }

    private bool BindInput(object input, string set)
    {
        bool any = false;
        foreach (ParameterDefinition parameter in _command.Parameters)
        {
            if (_bound.ContainsKey(parameter.Name))
            {
                continue;
            }

            if (parameter.UseIn(set) is not { } use)
            {
                continue;
            }

            if (use.FromPipeline && Fits(input, parameter))
            {
                SetFromPipeline(parameter, input);
                any = true;
            }
            else if (use.FromPipelineByName && PropertyFor(parameter, input) is { } property)
            {
                SetFromPipeline(parameter, property.GetValue(input));
                any = true;
            }
        }

        return any;
    }

    private static bool Fits(object input, ParameterDefinition parameter) =>
        parameter.Type.IsInstanceOfType(input) || parameter.ItemType.IsInstanceOfType(input)
        || (input is VMHost && parameter.Has<ResourcePoolTransformationAttribute>());

    private static PropertyInfo? PropertyFor(ParameterDefinition parameter, object input) =>
        input.GetType().GetProperties().FirstOrDefault(property => property.CanRead && property.GetIndexParameters().Length == 0 && parameter.Answers(property.Name));

    private void SetFromPipeline(ParameterDefinition parameter, object? value)
    {
        _defaults.TryAdd(parameter, parameter.Property.GetValue(_cmdlet));
        Set(parameter, value);
        _fromPipeline.Add(parameter.Name);
    }

    private List<object?> BindNamed(IReadOnlyList<ArgumentSyntax> arguments)
    {
        var positional = new List<object?>();
        for (int i = 0; i < arguments.Count; i++)
        {
            ArgumentSyntax argument = arguments[i];
            if (argument.Parameter is not { } written)
            {
                positional.Add(argument.Value);
                continue;
            }

            (ParameterDefinition? parameter, string? common) = Find(written);
            bool isSwitch = parameter?.IsSwitch ?? CommonParameters.IsSwitch(common!);
            object? value = true;
            if (argument.HasValue)
            {
                value = argument.Value;
            }
            else if (!isSwitch)
            {
                value = i + 1 < arguments.Count && arguments[i + 1].Parameter is null
                    ? arguments[++i].Value
                    : throw new UsageException($"-{parameter?.Name ?? common} of {_command.Name} needs a value.");
            }

            if (parameter is null)
            {
                Common.Set(common!, value);
                continue;
            }

            if (_bound.ContainsKey(parameter.Name))
            {
                throw new UsageException($"-{parameter.Name} of {_command.Name} is given twice.");
            }

            Set(parameter, value);
            Narrow(parameter);
        }

        return positional;
    }

    private void BindPositional(List<object?> values)
    {
        foreach (object? value in values)
        {
            ParameterDefinition parameter = NextPositional()
                ?? throw new UsageException($"{_command.Name} has no place for '{Shown(value)}'. See: hv help {_command.Name}");
            Set(parameter, value);
            Narrow(parameter);
        }
    }

    private static string Shown(object? value) => value switch
    {
        null => "$null",
        object?[] list => string.Join(",", list.Select(Shown)),
        _ => value.ToString() ?? "",
    };

    private ParameterDefinition? NextPositional()
    {
        // The default set's positions come first, as long as that set is still possible.
        IEnumerable<string> order = _sets.OrderByDescending(set => string.Equals(set, _command.DefaultSet, StringComparison.OrdinalIgnoreCase));
        foreach (string set in order)
        {
            ParameterDefinition? next = _command.Parameters
                .Where(parameter => !_bound.ContainsKey(parameter.Name) && parameter.UseIn(set)?.Position is not null)
                .MinBy(parameter => parameter.UseIn(set)!.Position);
            if (next is not null)
            {
                // Behind a pipe the parameter that takes the pipeline's objects leaves its position to the next one.
                bool givesWay = _expectsInput && next.UseIn(set)!.FromPipeline;
                ParameterDefinition? other = !givesWay ? null : _command.Parameters
                    .Where(parameter => parameter != next && !_bound.ContainsKey(parameter.Name) && parameter.UseIn(set)?.Position is not null)
                    .MinBy(parameter => parameter.UseIn(set)!.Position);
                return other ?? next;
            }
        }

        return null;
    }

    private void Narrow(ParameterDefinition parameter)
    {
        List<string> left = [.. _sets.Where(set => parameter.UseIn(set) is not null)];
        if (left.Count == 0)
        {
            throw new UsageException($"-{parameter.Name} of {_command.Name} does not go together with the other parameters given. See: hv help {_command.Name}");
        }

        _sets = left;
    }

    private void ChooseSet()
    {
        if (_sets.Count == 1)
        {
            return;
        }

        List<string> complete = [.. _sets.Where(set => !Missing(set).Any())];
        string chosen = complete.Find(set => string.Equals(set, _command.DefaultSet, StringComparison.OrdinalIgnoreCase))
            ?? complete.FirstOrDefault()
            ?? _sets.Find(set => string.Equals(set, _command.DefaultSet, StringComparison.OrdinalIgnoreCase))
            ?? _sets[0];
        _sets = _expectsInput ? [chosen, .. complete.Where(set => set != chosen)] : [chosen];
    }

    private void CheckMandatory()
    {
        ParameterDefinition[] missing = [.. Missing(_sets[0])];
        if (missing.Length > 0)
        {
            throw new UsageException($"{_command.Name} needs {string.Join(", ", missing.Select(static parameter => "-" + parameter.Name))}. See: hv help {_command.Name}");
        }
    }

    private IEnumerable<ParameterDefinition> Missing(string set) => _command.Parameters.Where(parameter =>
        parameter.UseIn(set) is { Mandatory: true } use
        && !_bound.ContainsKey(parameter.Name)
        && !(_expectsInput && (use.FromPipeline || use.FromPipelineByName)));

    private (ParameterDefinition? Parameter, string? Common) Find(string written)
    {
        if (_command.Parameters.FirstOrDefault(parameter => parameter.Answers(written)) is { } exact)
        {
            return (exact, null);
        }

        string[] common = [.. CommonParameters.NamesFor(_command)];
        string? exactCommon = common.FirstOrDefault(name => string.Equals(name, written, StringComparison.OrdinalIgnoreCase)) ?? CommonParameters.ByAlias(written, _command);
        if (exactCommon is not null)
        {
            return (null, exactCommon);
        }

        ParameterDefinition[] beginnings = [.. _command.Parameters.Where(parameter => parameter.Name.StartsWith(written, StringComparison.OrdinalIgnoreCase))];
        string[] commonBeginnings = [.. common.Where(name => name.StartsWith(written, StringComparison.OrdinalIgnoreCase))];
        return (beginnings.Length + commonBeginnings.Length) switch
        {
            1 => (beginnings.FirstOrDefault(), commonBeginnings.FirstOrDefault()),
            0 => throw NoParameter(written, common),
            _ => throw new UsageException($"-{written} is ambiguous for {_command.Name}: {string.Join(", ", beginnings.Select(static p => "-" + p.Name).Concat(commonBeginnings.Select(static n => "-" + n)))}."),
        };
    }

    private UsageException NoParameter(string written, string[] common)
    {
        string? nearest = Spelling.Nearest(written, _command.Parameters.Select(static parameter => parameter.Name).Concat(common));
        string hint = nearest is null ? "" : $" Did you mean -{nearest}?";
        return new UsageException($"{_command.Name} has no parameter -{written}.{hint} See: hv help {_command.Name}");
    }

    private void Set(ParameterDefinition parameter, object? value)
    {
        if (parameter.IsSwitch)
        {
            _bound[parameter.Name] = (bool)(ValueConverter.Convert(value, typeof(bool), parameter.Name) ?? false);
            return;
        }

        if (parameter.Has<VirtualMachineTransformationAttribute>() && value is not null)
        {
            object plain = parameter.Type.IsArray ? ValueConverter.Items(value) : value is SystemWord word ? word.Text : value;
            value = VirtualMachineTransformationAttribute.Transform(plain);
        }

        if (parameter.Has<ResourcePoolTransformationAttribute>() && value is not null)
        {
            object plain = parameter.Type.IsArray ? ValueConverter.Items(value) : value is SystemWord word ? word.Text : value;
            value = ResourcePoolTransformationAttribute.Transform(plain);
        }

        if (parameter.Has<VMHostTransformationAttribute>() && value is not null)
        {
            value = VMHostTransformationAttribute.Transform(ValueConverter.Items(value));
        }

        if (parameter.Has<StatisticsEntityTransformationAttribute>() && value is not null)
        {
            value = StatisticsEntityTransformationAttribute.Transform(ValueConverter.Items(value));
        }

        object? converted = ValueConverter.Convert(value, parameter.Type, parameter.Name);
        ValueValidator.Check(parameter, converted, parameter.Uses.Any(static use => use.Mandatory));
        parameter.Property.SetValue(_cmdlet, converted);
        _bound[parameter.Name] = converted;
    }
}
