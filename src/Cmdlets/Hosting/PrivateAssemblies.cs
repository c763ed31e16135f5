using System.Management.Automation;
using System.Reflection;
using System.Runtime.Loader;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>
/// Keeps what the engine needs of others out of PowerShell's own load context, where another module may have loaded another version
/// of it. The software processor and the decoder under it lie in <c>lib/private</c> and are loaded into a context of their own; the
/// types that users see (engine and cmdlets) stay where every script finds them.
/// </summary>
public sealed class PrivateAssemblies : IModuleAssemblyInitializer
{
    private static readonly string Folder = Path.Combine(Path.GetDirectoryName(typeof(PrivateAssemblies).Assembly.Location) ?? ".", "private");
    private static readonly Lazy<PrivateContext> Context = new(static () => new PrivateContext());
    private static int _registered;

    /// <inheritdoc/>
    public void OnImport()
    {
        if (Directory.Exists(Folder) && Interlocked.Exchange(ref _registered, 1) == 0)
        {
            AssemblyLoadContext.Default.Resolving += static (_, name) => Context.Value.Find(name);
        }
    }

    private sealed class PrivateContext() : AssemblyLoadContext("Hypervisor")
    {
        // Only the processor is asked for from outside; whatever it needs in turn is found here first.
        public Assembly? Find(AssemblyName name) =>
            name.Name == "Hypervisor.Engine.Processor" ? Load(name) : null;

        protected override Assembly? Load(AssemblyName assemblyName)
        {
            string path = Path.Combine(Folder, assemblyName.Name + ".dll");
            return File.Exists(path) ? Assemblies.FirstOrDefault(known => known.GetName().Name == assemblyName.Name) ?? LoadFromAssemblyPath(path) : null;
        }
    }
}
