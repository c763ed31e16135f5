using System.Management.Automation;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>
/// Where a cmdlet's output goes and where its circumstances come from when it does not run in PowerShell. PowerShell's reference
/// assembly has bodies that do nothing; what a cmdlet needs of a host is therefore asked for here.
/// </summary>
internal interface ICommandOutput
{
    /// <summary>Hands an object to the next command of the pipeline, or to the screen.</summary>
    void WriteObject(object value);

    /// <summary>Reports an error after which the command goes on.</summary>
    void WriteError(CommandError error);

    /// <summary>Shows a warning.</summary>
    void WriteWarning(string message);

    /// <summary>Shows detail for who asked for it.</summary>
    void WriteVerbose(string message);

    /// <summary>Shows how far a task is; 100 takes the display away.</summary>
    void WriteProgress(string activity, string status, int percent);

    /// <summary>Asks whether a change may be made, as <c>-WhatIf</c> and <c>-Confirm</c> say, and without them its impact.</summary>
    /// <param name="target">What is changed.</param>
    /// <param name="action">What is done to it.</param>
    /// <param name="impact">How much it matters; null for what the command declares.</param>
    bool ShouldProcess(string target, string action, ConfirmImpact? impact = null);

    /// <summary>The user, or the pipeline, gave the parameter.</summary>
    bool IsBound(string parameter);

    /// <summary>The command stands behind another one in a pipeline.</summary>
    bool ExpectsInput { get; }

    /// <summary>The switch was given and not turned off. The reference assembly's <see cref="SwitchParameter"/> keeps no value.</summary>
    bool IsSwitchOn(string parameter);
}
