using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VMProcessorCounter: what the virtual processors of machines on the software backend did since power-on.</summary>
/// <example>
/// <code>Get-VMProcessorCounter web | Format-List</code>
/// All counters of all virtual processors of a running machine.
/// </example>
/// <example>
/// <code>(Get-VMProcessorCounter web -ProcessorIndex 0).ExitsByInstruction | Select-Object -First 5</code>
/// The instructions that most often had to be left to the interpreter.
/// </example>
[Cmdlet(VerbsCommon.Get, "VMProcessorCounter")]
[OutputType(typeof(VirtualProcessorCounters))]
public sealed class GetVMProcessorCounterCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names. They must run in this process, on the backend Software.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Virtual processors by index, from 0; all when not given.</summary>
    [Parameter(Position = 1)]
    [ValidateRange(0, int.MaxValue)]
    public int[]? ProcessorIndex { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            Attempt(machine, () => Show(machine, machine.Host!.GetProcessorCounters(machine)));
        }
    }

    private void Show(VirtualMachine machine, IReadOnlyList<VirtualProcessorCounters> counters)
    {
        foreach (int index in ProcessorIndex ?? [.. Enumerable.Range(0, counters.Count)])
        {
            Emit(index < counters.Count ? counters[index] : throw new MachineException($"'{machine.Name}' has no virtual processor {index}; it has {counters.Count}, counted from 0."));
        }
    }
}
