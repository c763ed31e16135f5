using System.Globalization;
using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VMTranslation: the guest's code at an address beside the host code that the software processor made of it.</summary>
/// <example>
/// <code>Get-VMTranslation web</code>
/// The code that the first virtual processor is about to run.
/// </example>
/// <example>
/// <code>Get-VMTranslation web -Address 0xffffffff81000000 -ProcessorIndex 1</code>
/// The code at an address, as the second virtual processor sees memory and has translated it.
/// </example>
[Cmdlet(VerbsCommon.Get, "VMTranslation")]
[OutputType(typeof(GuestTranslationLine))]
public sealed class GetVMTranslationCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names. They must run in this process, on the backend Software; they go on running.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Linear address of guest code, as 0x and hexadecimal digits or as a decimal number; where the processor is now when not given.</summary>
    // A string, because PowerShell takes 0xffffffff81000000 for a negative number and hands on the text that was written.
    [Parameter(Position = 1)]
    [ValidateNotNullOrEmpty]
    public string? Address { get; set; }

    /// <summary>The virtual processor by index, from 0: each translates for itself.</summary>
    [Parameter(Position = 2)]
    [ValidateRange(0, int.MaxValue)]
    public int ProcessorIndex { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            Attempt(machine, () =>
            {
                foreach (GuestTranslationLine line in machine.Host!.DescribeTranslation(machine, ProcessorIndex, Address is null ? null : Parse(Address)))
                {
                    Emit(line);
                }
            });
        }
    }

    private static ulong Parse(string text)
    {
        string digits = text.Trim();
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            && ulong.TryParse(digits.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong address))
        {
            return address;
        }

        // A negative one is how PowerShell holds an address in the upper half.
        return ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out address) ? address
            : long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long signed) ? (ulong)signed
            : throw new ArgumentException($"'{text}' is no address: use 0x and up to 16 hexadecimal digits, or a decimal number.");
    }
}
