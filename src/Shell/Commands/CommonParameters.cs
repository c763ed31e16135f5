using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Commands;

/// <summary>What an error that a command survives does.</summary>
internal enum ErrorPreference
{
    /// <summary>It is shown; the command goes on.</summary>
    Continue,
    /// <summary>It is not shown; it still counts.</summary>
    SilentlyContinue,
    /// <summary>It is neither shown nor counted.</summary>
    Ignore,
    /// <summary>It ends the pipeline.</summary>
    Stop,
}

/// <summary>The parameters that every command has without declaring them.</summary>
internal sealed class CommonParameters
{
    private static readonly (string Name, string Alias, bool IsSwitch, bool OnlyWithShouldProcess)[] Known =
    [
        (nameof(Verbose), "vb", true, false),
        (nameof(ErrorAction), "ea", false, false),
        (nameof(WhatIf), "wi", true, true),
        (nameof(Confirm), "cf", true, true),
    ];

    public bool Verbose { get; private set; }

    public ErrorPreference ErrorAction { get; private set; }

    public bool WhatIf { get; private set; }

    /// <summary>Null when not given: the command's impact decides.</summary>
    public bool? Confirm { get; private set; }

    /// <summary>Names of those that a command has.</summary>
    public static IEnumerable<string> NamesFor(CommandDefinition command) =>
        Known.Where(known => !known.OnlyWithShouldProcess || command.SupportsShouldProcess).Select(static known => known.Name);

    /// <summary>The name that an alias stands for.</summary>
    public static string? ByAlias(string alias, CommandDefinition command) =>
        Known.FirstOrDefault(known => string.Equals(known.Alias, alias, StringComparison.OrdinalIgnoreCase) && (!known.OnlyWithShouldProcess || command.SupportsShouldProcess)).Name;

    public static bool IsSwitch(string name) => Known.First(known => known.Name == name).IsSwitch;

    /// <summary>Sets one.</summary>
    /// <exception cref="UsageException">Not a possible value.</exception>
    public void Set(string name, object? value)
    {
        switch (name)
        {
            case nameof(Verbose):
                Verbose = (bool)ValueConverter.Convert(value, typeof(bool), name)!;
                break;
            case nameof(ErrorAction):
                ErrorAction = (ErrorPreference)ValueConverter.Convert(value, typeof(ErrorPreference), name)!;
                break;
            case nameof(WhatIf):
                WhatIf = (bool)ValueConverter.Convert(value, typeof(bool), name)!;
                break;
            default:
                Confirm = (bool)ValueConverter.Convert(value, typeof(bool), name)!;
                break;
        }
    }
}
