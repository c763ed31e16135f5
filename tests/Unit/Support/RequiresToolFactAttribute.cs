namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that needs a program of the host; skipped with its name where it is not installed.</summary>
internal sealed class RequiresToolFactAttribute : FactAttribute
{
    public RequiresToolFactAttribute(string tool, string package)
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        if (!folders.Any(folder => folder.Length > 0 && File.Exists(Path.Combine(folder, tool))))
        {
            Skip = $"The program '{tool}' is not installed (Debian package {package}).";
        }
    }
}
