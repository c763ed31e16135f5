using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Compression;

/// <summary>Finds a system's compression library under the names it has there. A library that was loaded stays.</summary>
internal static class CompressionLibrary
{
    /// <summary>Loads the first name that is there and has all functions; the functions' addresses, or null.</summary>
    public static nint[]? TryLoad(ReadOnlySpan<string> names, ReadOnlySpan<string> functions, out string found)
    {
        // Never from the current folder: whoever may write there would run code in this process.
        const DllImportSearchPath Where = DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.System32 | DllImportSearchPath.SafeDirectories;
        foreach (string name in names)
        {
            if (NativeLibrary.TryLoad(name, typeof(CompressionLibrary).Assembly, Where, out nint library))
            {
                nint[] addresses = new nint[functions.Length];
                int known = 0;
                while (known < functions.Length && NativeLibrary.TryGetExport(library, functions[known], out addresses[known]))
                {
                    known++;
                }

                if (known == functions.Length)
                {
                    found = name;
                    return addresses;
                }

                NativeLibrary.Free(library);
            }
        }

        found = "";
        return null;
    }
}
