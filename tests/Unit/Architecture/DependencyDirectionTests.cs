using System.Reflection;
using System.Runtime.InteropServices;

namespace Hypervisor.Tests.Unit.Architecture;

public class DependencyDirectionTests
{
    private const string Native = "Hypervisor.Engine.Native", Processor = "Hypervisor.Engine.Processor", Engine = "Hypervisor.Engine", Cmdlets = "Hypervisor.Cmdlets", Shell = "hv";

    [Theory]
    [InlineData(Native, new string[0])]
    [InlineData(Processor, new[] { Native })]
    [InlineData(Engine, new[] { Native, Processor })]
    [InlineData(Cmdlets, new[] { Native, Processor, Engine })]
    [InlineData(Shell, new[] { Native, Engine, Cmdlets })]
    public void A_project_knows_only_those_below_it(string name, string[] allowed)
    {
        string[] ours = [Native, Processor, Engine, Cmdlets, Shell];
        var known = Assembly.Load(name).GetReferencedAssemblies().Select(reference => reference.Name!).Intersect(ours);
        Assert.Empty(known.Except(allowed));
    }

    [Theory]
    [InlineData(Native)]
    [InlineData(Processor)]
    [InlineData(Engine)]
    public void The_engine_knows_neither_PowerShell_nor_a_console(string name)
    {
        var references = Assembly.Load(name).GetReferencedAssemblies().Select(reference => reference.Name!);
        Assert.DoesNotContain("System.Management.Automation", references);
        Assert.DoesNotContain("System.Console", references);
    }

    [Theory]
    [InlineData(Processor)]
    [InlineData(Engine)]
    [InlineData(Cmdlets)]
    [InlineData(Shell)]
    public void Calls_into_the_operating_system_stand_in_the_native_project_only(string name)
    {
        const BindingFlags All = BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        var imports = Assembly.Load(name).GetTypes().SelectMany(type => type.GetMethods(All))
            .Where(method => method.Attributes.HasFlag(MethodAttributes.PinvokeImpl) || method.IsDefined(typeof(LibraryImportAttribute)))
            .Select(method => $"{method.DeclaringType}.{method.Name}");
        Assert.Empty(imports);
    }
}
