using System.Runtime.InteropServices;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>A test that compares with the machine's own processor; skipped where that is no x86-64 under Linux.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OracleFactAttribute : FactAttribute
{
    public OracleFactAttribute()
    {
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64)
        {
            Skip = "The differential test runs instructions on the host's own processor and needs x86-64 Linux.";
        }
    }
}
